"""One holder at a time between processes; a killed one blocks nobody."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dpgen import storage
from dpgen.errors import StorageError

HOLD = """
import sys, time
from pathlib import Path
from dpgen.storage import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys
from pathlib import Path
from dpgen.storage import FileLock
counter = Path(sys.argv[2])
for _ in range(50):
    with FileLock(Path(sys.argv[1]), wait=60):
        number = int(counter.read_text())
        counter.write_text(str(number + 1))
"""


def start(code: str, *arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_second_holder_is_refused_and_told_who(tmp_path):
    with storage.FileLock(tmp_path / "lock") as lock:
        assert lock.holder == f"process {os.getpid()}"
        with pytest.raises(StorageError, match=rf"held by process {os.getpid()}.*Wait"), storage.FileLock(lock._path):
            pass
    assert not list(tmp_path.iterdir())
    with storage.FileLock(tmp_path / "lock"):
        pass


def test_a_killed_holder_blocks_nobody(tmp_path):
    path = tmp_path / "lock"
    with start(HOLD, path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match=f"process {child.pid}"), storage.FileLock(path):
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert path.exists()
        with storage.FileLock(path, wait=5):
            pass


def test_no_increment_is_lost_between_four_processes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    children = [start(COUNT, tmp_path / "lock", counter) for _ in range(4)]
    for child in children:
        with child:
            assert child.wait() == 0
    assert counter.read_text() == "200"


def test_failure_to_lock_is_explained(tmp_path):
    def hook(operation: str, path: Path) -> None:
        if operation == "lock":
            raise OSError(errno.EACCES, "permission denied")

    with storage.failing(hook), pytest.raises(StorageError, match="expected to lock"), storage.FileLock(tmp_path / "l"):
        pass


def test_a_forked_child_does_not_give_the_lock_away(tmp_path, monkeypatch):
    lock = storage.FileLock(tmp_path / "lock")
    assert lock.acquire()
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as the child sees it
    lock.release()
    assert (tmp_path / "lock").exists()


def test_release_twice_is_harmless(tmp_path):
    lock = storage.FileLock(tmp_path / "lock")
    lock.release()
    assert lock.acquire()
    lock.release()
    lock.release()
