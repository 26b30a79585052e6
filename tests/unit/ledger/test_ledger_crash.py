"""A run may stop at any operation, and its file be cut at any byte: whatever was released is charged, once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpgen import storage
from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.errors import LedgerError, StorageError
from dpgen.events import Gaussian, SelfComposed
from dpgen.ledger import Ledger, read_ledger

BUDGET = Budget(epsilon=3.0, delta=1e-5, relation=ADD_OR_REMOVE_ONE)
PLAN = Plan(
    (Charge("query", Gaussian(20.0)), Charge("rounds", SelfComposed(Gaussian(9.0), 2)), Charge("tune", Gaussian(5.0)))
)
RELEASES = [("query", Gaussian(20.0)), ("rounds", SelfComposed(Gaussian(9.0), 2)), ("tune", Gaussian(5.0))]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Thousands of files are written here. Only a power cut could see the difference; the failpoints stay."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Killed(BaseException):
    """Stands for the end of the process: no `except OSError` or `except Exception` sees it."""


def run(path: Path, released: list[tuple[str, int]], *, charge_first: bool = True) -> None:
    """A run as `PrivateDataset.release` makes it: charge, then release. `charge_first=False` is the broken twin."""
    with Ledger(GdpAccountant(), BUDGET, path=path) as ledger:
        go_through(ledger, released, charge_first=charge_first)


def go_through(ledger: Ledger, released: list[tuple[str, int]], *, charge_first: bool = True) -> None:
    ledger.adopt(PLAN)
    for number, (label, event) in enumerate(RELEASES):
        if not charge_first:
            released.append((label, number))
        ledger.charge(event, label=label)
        if charge_first:
            released.append((label, number))


def labels_on_disk(path: Path) -> set[str]:
    """The labels that count as spent when the file is opened again."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    entries = [json.loads(line) for line in whole.splitlines()]
    return {entry["label"] for entry in entries if entry["type"] == "charge"}


def uncharged(released: list[tuple[str, int]], path: Path) -> set[str]:
    return {label for label, _ in released} - labels_on_disk(path)


def stopping_at(doomed: int, error: BaseException, seen: list[str]):
    def hook(operation: str, path: Path) -> None:
        seen.append(operation)
        if len(seen) == doomed + 1:
            raise error

    return storage.failing(hook)


def stop_everywhere(tmp_path: Path, error: BaseException, *, charge_first: bool = True):
    """For each operation of a whole run: (what was released, the file) after stopping just before it."""
    operations: list[str] = []
    with storage.failing(lambda operation, _: operations.append(operation)):
        run(tmp_path / "whole", [])
    assert operations.count("write") == 5  # header, plan, three charges
    for doomed in range(len(operations)):
        path, released, seen = tmp_path / f"stopped {doomed}", [], []
        with stopping_at(doomed, error, seen), pytest.raises((Killed, StorageError, LedgerError)):
            run(path, released, charge_first=charge_first)
        yield released, path


@pytest.mark.parametrize(
    "error", [Killed(), OSError(errno.ENOSPC, "no space left"), OSError(errno.EIO, "input/output error")]
)
def test_stopped_at_any_operation(tmp_path, error):
    reference = None
    for released, path in stop_everywhere(tmp_path, error):
        reference = reference or (tmp_path / "whole").read_bytes()
        assert uncharged(released, path) == set()
        run(path, [])
        assert path.read_bytes() == reference  # resumed: complete, and nothing charged twice


def test_the_check_above_rejects_a_run_that_releases_first(tmp_path):
    assert any(uncharged(released, path) for released, path in stop_everywhere(tmp_path, Killed(), charge_first=False))


def test_cut_at_every_byte(tmp_path):
    """A power cut can leave any prefix of the line being appended: what was released before it is still charged.

    Cuts further back are beyond any crash; they too must end in the same file, or be refused.
    """
    path, sizes = tmp_path / "ledger.jsonl", []
    with Ledger(GdpAccountant(), BUDGET, path=path) as ledger:
        ledger.adopt(PLAN)
        for label, event in RELEASES:
            before = path.stat().st_size
            ledger.charge(event, label=label)
            sizes.append((before, path.stat().st_size))
    whole = path.read_bytes()
    released_before_append = {
        size: {label for label, _ in RELEASES[:number]}
        for number, (start, end) in enumerate(sizes)
        for size in range(start, end)
    }
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with Ledger(GdpAccountant(), BUDGET, path=path) as ledger:
            assert released_before_append.get(size, set()) <= {charge.label for charge in ledger.charges}
            go_through(ledger, [])
        assert path.read_bytes() == whole


def test_a_torn_tail_is_refused_by_a_reader_and_mended_by_the_run(tmp_path):
    path = tmp_path / "ledger.jsonl"
    run(path, [])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"previous": "')
    with pytest.raises(LedgerError, match="torn last line"):
        read_ledger(path)
    run(path, [])
    assert path.read_bytes() == whole


def test_every_altered_byte_before_the_last_line_is_found(tmp_path):
    path = tmp_path / "ledger.jsonl"
    run(path, [])
    whole = path.read_bytes()
    assert read_ledger(path).charges == PLAN.charges
    for position in range(whole.rstrip(b"\n").rfind(b"\n") + 1):
        altered = bytearray(whole)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(LedgerError):
            read_ledger(path)
    with pytest.raises(LedgerError):
        Ledger(GdpAccountant(), BUDGET, path=path)


@pytest.mark.parametrize("victim", range(5))
def test_a_removed_or_repeated_line_is_found(tmp_path, victim):
    path = tmp_path / "ledger.jsonl"
    run(path, [])
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (lines[:victim] + lines[victim + 1 :], [*lines[: victim + 1], *lines[victim:]]):
        if changed == lines[:-1]:
            continue  # a rollback by whole lines: only an outside counter can see it
        path.write_bytes(b"".join(changed))
        with pytest.raises(LedgerError):
            read_ledger(path)


@pytest.mark.parametrize("content", [b"[]\n", b"{}\n", b"\n", b"\xff\n", b'{"previous": 0}\n', b'"text"\n'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        Ledger(GdpAccountant(), BUDGET, path=path)
    assert path.read_bytes() == content


def test_lines_out_of_place_are_refused_though_their_chain_holds(tmp_path):
    """Whoever rewrites the chain still cannot write charges that the plan does not hold, or a line of no kind."""
    path = tmp_path / "ledger.jsonl"
    run(path, [])
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    header, plan, query, rounds, tune = entries
    assert (plan["type"], tune["type"]) == ("adopted", "charge")
    for wrong in (
        [plan, query],
        [header, plan, rounds],
        [header, query, query],
        [header, plan, plan],
        [header, plan, query | {"label": "x"}],
        [header, plan, query | {"event": {"type": "Gaussian", "noise_multiplier": 40.0}}],
        [header, {"type": "note"}],
        [header | {"format": 2}, plan],
        [header | {"relation": "none"}],
        [header | {"epsilon": -1}],
    ):
        _write_chained(path, wrong)
        with pytest.raises(LedgerError):
            read_ledger(path)
    _write_chained(path, entries)
    assert read_ledger(path).plan == PLAN


def _write_chained(path: Path, entries: list[dict]) -> None:
    head, text = "0" * 64, b""
    for entry in entries:
        line = json.dumps(entry | {"previous": head}).encode()
        head, text = storage.digest(line), text + line + b"\n"
    path.write_bytes(text)


RUN = """
import sys
from pathlib import Path
from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Gaussian
from dpgen.ledger import Ledger
with Ledger(GdpAccountant(), Budget(50.0, 1e-5, ADD_OR_REMOVE_ONE), path=Path(sys.argv[1])) as ledger:
    for i in range(100_000):
        ledger.charge(Gaussian(100.0), label=f"round {i}")
        print(f"round {i}", flush=True)
"""


def test_a_really_killed_process(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        released = [child.stdout.readline().strip() for _ in range(10)]
        with pytest.raises(LedgerError, match=f"process {child.pid}"):
            Ledger(GdpAccountant(), Budget(50.0, 1e-5, ADD_OR_REMOVE_ONE), path=path)
        os.kill(child.pid, signal.SIGKILL)
        released += child.stdout.read().split("\n")[:-1]
    with Ledger(GdpAccountant(), Budget(50.0, 1e-5, ADD_OR_REMOVE_ONE), path=path) as ledger:
        charged = [charge.label for charge in ledger.charges]
    assert charged[: len(released)] == released
    assert len(charged) <= len(released) + 1  # at most the charge under way is counted without a release


def test_after_a_failed_write_only_opening_again_helps(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(GdpAccountant(), BUDGET, path=path) as ledger:
        ledger.adopt(PLAN)
        with stopping_at(0, OSError(errno.ENOSPC, "no space left"), []), pytest.raises(StorageError, match="Free some"):
            ledger.charge(RELEASES[0][1], label="query")
        with pytest.raises(LedgerError, match="failed write"):
            ledger.charge(RELEASES[0][1], label="query")
        assert ledger.charges == ()
    run(path, [])
    assert read_ledger(path).charges == PLAN.charges
