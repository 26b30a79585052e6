"""An exclusive lock between processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import final

from dpgen.errors import StorageError
from dpgen.storage.files import make_folder
from dpgen.storage.seam import explained, failpoint


@final
class FileLock:
    """An exclusive lock between processes, held from `acquire` to `release` or for a `with` block.

    The kernel lock (`flock`) ends with its process, so a killed holder never blocks anybody. The lock file holds the
    process id of its holder and is removed on release, unless it is to be kept for many more holders: on a busy disk
    making and removing it takes longer than what it guards. A forked child does not own its parent's lock.
    """

    def __init__(self, path: Path, *, wait: float = 0.0, keep: bool = False) -> None:
        """Lock by the file `path`, which stays when `keep` is set; `with` waits up to `wait` seconds."""
        self._path, self._wait, self._keep = path, wait, keep
        self._descriptor: int | None = None
        self._owner = 0

    def acquire(self) -> bool:
        """Try for `wait` seconds; was the lock taken? Raises: `StorageError` when the lock file cannot be written."""
        deadline = time.monotonic() + self._wait
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if self._owner == os.getpid() and not self._keep:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)  # while still locked: nobody can take this file and lose it to us
        os.close(descriptor)

    @property
    def holder(self) -> str:
        """Who holds the lock, such as "process 4711"."""
        try:
            pid = self._path.read_text().strip()
        except OSError:
            pid = ""
        return f"process {pid}" if pid.isdigit() else "another process"

    def __enter__(self) -> FileLock:
        if not self.acquire():
            raise StorageError(
                f"expected to lock {self._path} within {self._wait:g} seconds; found it held by {self.holder}. "
                "Wait for that process to end, then try again."
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self) -> bool:
        with explained("lock", self._path):
            make_folder(self._path.parent)
            failpoint("lock", self._path)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_same_file(descriptor, self._path):  # its holder removed it between our open and our lock
                    raise BlockingIOError
                os.pwrite(descriptor, f"{os.getpid():<20}\n".encode(), 0)  # of one width: it covers the last holder's
            except OSError as error:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    return False
                raise
        self._descriptor, self._owner = descriptor, os.getpid()
        return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        theirs = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
