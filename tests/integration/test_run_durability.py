"""A full disk, a read-only one, too little memory, an old ledger: a typed error, then the same guarantee."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpgen import storage
from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.config import to_toml
from dpgen.errors import LedgerError, StorageError
from dpgen.ledger import OwnerLedger
from dpgen.mechanisms.context import SilentProgress
from dpgen.pipeline import run
from dpgen.pipeline.folder import RunFolder
from dpgen.storage import FileLock
from dpgen.testing.toy_run import toy_config, toy_registry

CHARGES = ["class-means", "refine"]


def settings(folder: Path):
    return toy_config(folder, [f"privacy.ledger={folder}/owner.jsonl", "run.format=npz", "method.steps=30"])


def finish(folder: Path) -> list[str]:
    record = run(settings(folder), registry=toy_registry(), resume=True)
    assert OwnerLedger(folder / "owner.jsonl").total().epsilon == 8.0, "reserved once"
    return [charge.label for charge in record.charges]


def disk(code: int, operation: str, name: str):
    def hook(found: str, path: Path) -> None:
        if found == operation and name in path.name:
            raise OSError(code, os.strerror(code))

    return storage.failing(hook)


@pytest.mark.parametrize("name", ["ledger.jsonl", "means.checkpoint", "refine.checkpoint", "run.sample", "train.npz"])
@pytest.mark.parametrize("operation", ["write", "fsync"])
def test_a_full_disk_stops_the_run_and_costs_nothing_twice(tmp_path: Path, name: str, operation: str) -> None:
    with disk(errno.ENOSPC, operation, name), pytest.raises(StorageError, match=r"Free some space"):
        run(settings(tmp_path), registry=toy_registry())
    assert not (tmp_path / "run" / "release").exists()
    assert finish(tmp_path) == CHARGES


def test_a_full_disk_at_the_charge_reads_nothing(tmp_path: Path) -> None:
    with disk(errno.ENOSPC, "write", "ledger.jsonl"), pytest.raises(StorageError):
        run(settings(tmp_path), registry=toy_registry())
    assert not (tmp_path / "run" / "internal" / "checkpoints").exists()


def test_a_disk_that_may_not_be_written_is_told_at_once(tmp_path: Path) -> None:
    with disk(errno.EROFS, "lock", ""), pytest.raises(StorageError, match="not read-only"):
        run(settings(tmp_path), registry=toy_registry())
    assert not (tmp_path / "owner.jsonl").exists()


def _limit_file_size() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


REALLY_FULL = """
import sys
from pathlib import Path
from dpgen.errors import StorageError
from dpgen.storage import append_durably, write_atomically
folder = Path(sys.argv[1])
whole = lambda: write_atomically(folder / "file", b"x" * 4000)
line = lambda: append_durably(folder / "lines", b"y" * 1500)
for use in (whole, line):
    try:
        use()
    except StorageError:
        print("refused")
"""


def test_a_really_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the kernel itself refuses, in the middle of a write."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "lines").write_bytes(b"z" * 999 + b"\n")
    child = subprocess.run(
        [sys.executable, "-c", REALLY_FULL, str(tmp_path)], capture_output=True, preexec_fn=_limit_file_size, check=True
    )
    assert child.stdout.split() == [b"refused", b"refused"]
    assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "lines").read_bytes() == b"z" * 999 + b"\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lines"]


class _Failing(SilentProgress):
    """The memory gives out in a phase."""

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[object]:
        def advance(steps: int) -> None:
            if phase == "refine":
                raise MemoryError

        yield advance


def test_out_of_memory_in_training_keeps_the_charge_and_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        run(settings(tmp_path), registry=toy_registry(), progress=_Failing())
    lock = FileLock(tmp_path / "run" / "internal" / "lock")
    assert lock.acquire(), "the lock must be free"
    lock.release()
    assert finish(tmp_path) == CHARGES


RUN = """
import sys
from pathlib import Path
from dpgen.cli.failures import Interrupted, interruptible
from dpgen.config import load
from dpgen.mechanisms.context import SilentProgress
from dpgen.pipeline import run
from dpgen.testing.toy_run import toy_registry
import contextlib, time

class Slow(SilentProgress):
    @contextlib.contextmanager
    def track(self, phase, total):
        def advance(steps):
            if phase == "refine":
                print("training", flush=True)
                time.sleep(0.05)
        yield advance

try:
    with interruptible():
        run(load(Path(sys.argv[1])), registry=toy_registry(), progress=Slow())
except Interrupted as stopped:
    sys.exit(128 + stopped.signal_number)
"""


def test_sigterm_in_training_stops_at_once_and_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(to_toml(settings(tmp_path)))
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "run.toml")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"training\n"
        start = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 128 + signal.SIGTERM
        assert time.monotonic() - start < 10
    assert RunFolder(tmp_path / "run").begun
    assert not (tmp_path / "run" / "internal" / "lock").exists()
    assert finish(tmp_path) == CHARGES


def test_the_owners_ledger_of_before_the_run_is_charged_again_on_resuming(tmp_path: Path) -> None:
    """An older copy put back: the run finds no line of its own and reserves anew, so it is never free."""
    OwnerLedger(tmp_path / "owner.jsonl").reserve("other", 1.0, 1e-9, ADD_OR_REMOVE_ONE)
    shutil.copy(tmp_path / "owner.jsonl", tmp_path / "old.jsonl")
    with pytest.raises(MemoryError):
        run(settings(tmp_path), registry=toy_registry(), progress=_Failing())
    assert OwnerLedger(tmp_path / "owner.jsonl").total().epsilon == 9.0
    shutil.copy(tmp_path / "old.jsonl", tmp_path / "owner.jsonl")
    run(settings(tmp_path), registry=toy_registry(), resume=True)
    assert OwnerLedger(tmp_path / "owner.jsonl").total().epsilon == 9.0


def test_a_runs_ledger_put_back_by_a_line_is_charged_again_on_resuming(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        run(settings(tmp_path), registry=toy_registry(), progress=_Failing())
    path = tmp_path / "run" / "internal" / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert b'"refine"' in lines[-1]
    path.write_bytes(b"".join(lines[:-1]))
    assert finish(tmp_path) == CHARGES


def test_a_ledger_copied_from_another_run_is_refused(tmp_path: Path) -> None:
    for name, steps in (("one", 30), ("two", 20)):
        (folder := tmp_path / name).mkdir()
        config = toy_config(folder, ["run.format=npz", f"method.steps={steps}"])
        with pytest.raises(MemoryError):
            run(config, registry=toy_registry(), progress=_Failing())
    ledgers = [tmp_path / name / "run" / "internal" / "ledger.jsonl" for name in ("one", "two")]
    shutil.copy(ledgers[0], ledgers[1])
    with pytest.raises(LedgerError, match="another one"):
        run(config, registry=toy_registry(), resume=True)


def test_an_owners_ledger_put_back_while_it_is_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "owner.jsonl"
    ledger = OwnerLedger(path)
    ledger.reserve("a", 1.0, 1e-9, ADD_OR_REMOVE_ONE)
    old = path.read_bytes()
    ledger.reserve("b", 1.0, 1e-9, ADD_OR_REMOVE_ONE)
    path.write_bytes(old)
    with pytest.raises(LedgerError, match="put back to an older state"):
        ledger.reserve("c", 1.0, 1e-9, ADD_OR_REMOVE_ONE)
    assert path.read_bytes() == old
