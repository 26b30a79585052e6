"""Files replaced whole or not at all, and lines appended for good."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpgen.errors import StorageError
from dpgen.storage.seam import explained, failpoint


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace `path` by `content`, durably; parent folders are created.

    Whatever fails, and whenever the power goes, the file holds all of the old content or all of the new one; once
    this returns it holds the new one. `mode` sets the permission bits (0o600 for a key), default the umask's.

    Raises: `StorageError` when the disk is full or the folder cannot be written.
    """
    with explained("write", path), prepared(path, content, mode) as temporary:
        replace(temporary, path)


def rename_durably(source: Path, target: Path) -> None:
    """Move the file or folder `source` to `target` in one step; when this returns it survives a power cut.

    Raises: `StorageError`, also when `target` is a folder that holds something.
    """
    with explained("create", target):
        replace(source, target)


def flush_durably(folder: Path) -> None:
    """Make all that lies in `folder`, written by other means, survive a power cut. Raises: `StorageError`."""
    with explained("flush", folder):
        for place in sorted(folder.rglob("*")):
            if place.is_dir():
                _fsync_folder(place)
                continue
            with open(place, "rb") as file:
                _fsync(file.fileno(), place)
        _fsync_folder(folder)


def append_durably(path: Path, line: bytes, *, named: bool = False) -> None:
    """Append `line` and a newline; when this returns they survive a power cut. The file is created if need be.

    `named` says that this process has appended to the file before, so that its name in the folder is durable too.
    Raises: `StorageError`; the file is then cut back to what it was, unless that fails too.
    """
    if b"\n" in line:
        raise StorageError(f"expected one line to append to {path}; found a line break in it. Escape it first.")
    with explained("append to", path):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _append(descriptor, path, line + b"\n", named=named)
        finally:
            os.close(descriptor)


def truncate_durably(path: Path, size: int) -> None:
    """Keep only the first `size` bytes of `path`. Raises: `StorageError`."""
    with explained("truncate", path), open(path, "r+b") as file:
        failpoint("truncate", path)
        file.truncate(size)
        _fsync(file.fileno(), path)


def remove_durably(path: Path) -> None:
    """Remove `path` for good; nothing happens when there is none. Raises: `StorageError`."""
    with explained("remove", path):
        if path.exists():
            failpoint("remove", path)
            path.unlink()
            _fsync_folder(path.parent)


def read(path: Path) -> bytes:
    """All bytes of `path`. Raises: `StorageError`."""
    with explained("read", path):
        return path.read_bytes()


def digest(what: Path | bytes) -> str:
    """The SHA-256 of a file, or of bytes, in hexadecimal. Raises: `StorageError`."""
    if isinstance(what, bytes):
        return hashlib.sha256(what).hexdigest()
    with explained("read", what), open(what, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def prepared(path: Path, content: bytes, mode: int | None) -> Iterator[Path]:
    """A durable temporary file beside `path`, for the caller to move into place; gone afterwards in any case."""
    make_folder(path.parent)
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


def replace(source: Path, target: Path) -> None:
    """Put `source` in the place of `target`, durably."""
    failpoint("replace", target)
    source.replace(target)
    _fsync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, durably; nothing happens when it is there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync_folder(folder.parent)


def _append(descriptor: int, path: Path, content: bytes, *, named: bool) -> None:
    """Write and fsync; after an error cut the file back, so that a failed append leaves nothing behind."""
    size = os.fstat(descriptor).st_size
    try:
        failpoint("write", path)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        _fsync(descriptor, path)
        if not named:
            _fsync_folder(path.parent)  # whoever created the file may have died before its name was durable
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
