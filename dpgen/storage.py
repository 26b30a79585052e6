"""Every file operation that matters: atomic replacement, sealed files, durable appends, a lock between processes.

Nothing here knows what the bytes mean. Each operation passes `failpoint` just before it touches the disk, so a test
can make any single one of them fail, or stop the process there, and look at what is left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from dpgen.errors import StorageError

FailHook = Callable[[str, Path], None]

_log = logging.getLogger("dpgen.storage")
_hook: FailHook = lambda operation, path: None  # noqa: E731  (a no-op until a test replaces it)


def failpoint(operation: str, path: Path) -> None:
    """Called before each `write`, `fsync`, `replace`, `truncate`, `remove` and `lock`; does nothing outside tests."""
    _hook(operation, path)


@contextmanager
def failing(hook: FailHook) -> Iterator[None]:
    """For tests: `hook(operation, path)` runs at each failpoint and may raise an `OSError`, or leave the process."""
    global _hook
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        mends = {
            errno.ENOSPC: "Free some space on that disk and start again with `--resume`",
            errno.EDQUOT: "Raise the quota or free some space, then start again with `--resume`",
            errno.EACCES: "Choose a folder that you may write to",
            errno.EROFS: "Choose a folder that is not read-only",
        }
        mend = mends.get(error.errno or 0, "Check the path and the disk")
        raise StorageError(f"expected to {action} {path}; found: {error.strerror or error}. {mend}.") from error


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace `path` by `content`, durably; parent folders are created.

    Whatever fails, and whenever the power goes, the file holds all of the old content or all of the new one; once
    this returns it holds the new one. `mode` sets the permission bits (0o600 for a key), default the umask's.

    Raises: `StorageError` when the disk is full or the folder cannot be written.
    """
    with _explained("write", path), _prepared(path, content, mode) as temporary:
        _replace(temporary, path)


def write_sealed(path: Path, payload: bytes, *, mode: int | None = None) -> None:
    """Like `write_atomically`, with a SHA-256 seal inside; the good version before it stays beside it."""
    content = _SEAL + hashlib.sha256(payload).digest() + payload
    with _explained("write", path), _prepared(path, content, mode) as temporary:
        if path.exists() and _unsealed(path) is not None:  # a torn file must not push out the last good one
            _replace(path, _previous(path))
        _replace(temporary, path)  # between these two lines only the previous version exists: readers fall back to it


def read_sealed(path: Path) -> bytes:
    """The payload of `path`, or of the version before it where the newest is torn or was not yet in place.

    Raises: `StorageError` when neither matches its seal; never a silent start from nothing.
    """
    for candidate in (path, _previous(path)):
        if (payload := _unsealed(candidate)) is not None:
            if candidate != path:
                _log.warning("%s is torn or missing; the version before it is used instead", path)
            return payload
    raise StorageError(
        f"expected {path} to match its seal; found it torn, altered or missing, and no good version before it. "
        "Restore it from a backup, or start a new run in another folder."
    )


def sealed_exists(path: Path) -> bool:
    """Was anything sealed under `path` and not removed since? It may still turn out to be torn."""
    return path.exists() or _previous(path).exists()


def remove_sealed(path: Path) -> None:
    """Remove `path` and the version before it; nothing happens where there is none."""
    with _explained("remove", path):
        for victim in (_previous(path), path):  # the older first: a crash between must not bring it back to life
            failpoint("remove", victim)
            victim.unlink(missing_ok=True)


def rename_durably(source: Path, target: Path) -> None:
    """Move the file or folder `source` to `target` in one step; when this returns it survives a power cut.

    Raises: `StorageError`, also when `target` is a folder that holds something.
    """
    with _explained("create", target):
        _replace(source, target)


def append_durably(path: Path, line: bytes) -> None:
    """Append `line` and a newline; when this returns they survive a power cut. The file is created if need be.

    Raises: `StorageError`; the file is then cut back to what it was, unless that fails too.
    """
    if b"\n" in line:
        raise StorageError(f"expected one line to append to {path}; found a line break in it. Escape it first.")
    with _explained("append to", path):
        _make_folder(path.parent)
        is_new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _append(descriptor, path, line + b"\n")
        finally:
            os.close(descriptor)
        if is_new:
            _fsync_folder(path.parent)


def truncate_durably(path: Path, size: int) -> None:
    """Keep only the first `size` bytes of `path`."""
    with _explained("truncate", path), open(path, "r+b") as file:
        failpoint("truncate", path)
        file.truncate(size)
        _fsync(file.fileno(), path)


def read(path: Path) -> bytes:
    """All bytes of `path`. Raises: `StorageError`."""
    with _explained("read", path):
        return path.read_bytes()


def digest(what: Path | bytes) -> str:
    """The SHA-256 of a file, or of bytes, in hexadecimal. Raises: `StorageError`."""
    if isinstance(what, bytes):
        return hashlib.sha256(what).hexdigest()
    with _explained("read", what), open(what, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@final
class FileLock:
    """An exclusive lock between processes, held from `acquire` to `release` or for a `with` block.

    The kernel lock (`flock`) ends with its process, so a killed holder never blocks anybody. The lock file holds the
    process id of its holder and is removed on release.
    """

    def __init__(self, path: Path, *, wait: float = 0.0) -> None:
        """Lock by the file `path`; `with` waits up to `wait` seconds."""
        self._path, self._wait = path, wait
        self._descriptor: int | None = None

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
        with _explained("lock", self._path):
            _make_folder(self._path.parent)
            failpoint("lock", self._path)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_same_file(descriptor, self._path):  # its holder removed it between our open and our lock
                    raise BlockingIOError
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
            except BlockingIOError:
                os.close(descriptor)
                return False
        self._descriptor = descriptor
        return True


_SEAL = b"dpgen sealed 1\n"


def _unsealed(path: Path) -> bytes | None:
    """The payload, or None when the file is missing or does not match its seal at any byte."""
    if not path.exists():
        return None
    content = read(path)
    seal, payload = content[: len(_SEAL) + 32], content[len(_SEAL) + 32 :]
    return payload if seal == _SEAL + hashlib.sha256(payload).digest() else None


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")


@contextmanager
def _prepared(path: Path, content: bytes, mode: int | None) -> Iterator[Path]:
    """A durable temporary file beside `path`, for the caller to move into place; gone afterwards in any case."""
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
        with open(descriptor, "wb") as file:
            failpoint("write", path)
            file.write(content)
            file.flush()
            _fsync(file.fileno(), path)
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    failpoint("replace", target)
    source.replace(target)
    _fsync_folder(target.parent)


def _append(descriptor: int, path: Path, content: bytes) -> None:
    """Write and fsync; after an error cut the file back, so that a failed append leaves nothing behind."""
    size = os.fstat(descriptor).st_size
    try:
        failpoint("write", path)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        _fsync(descriptor, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _fsync(descriptor: int, path: Path) -> None:
    failpoint("fsync", path)
    os.fsync(descriptor)


def _fsync_folder(folder: Path) -> None:
    """Make names in `folder` durable; file systems that cannot sync a folder (some network ones) are tolerated."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _fsync(descriptor, folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync_folder(folder.parent)


def _is_same_file(descriptor: int, path: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        theirs = path.stat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
