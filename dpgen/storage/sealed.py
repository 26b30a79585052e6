"""Files that carry their own SHA-256, with the version before them kept in reserve."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from dpgen.errors import StorageError
from dpgen.storage.files import prepared, read, remove_durably, replace
from dpgen.storage.seam import explained

_SEAL = b"dpgen sealed 1\n"

_log = logging.getLogger("dpgen.storage")


def write_sealed(path: Path, payload: bytes, *, mode: int | None = None) -> None:
    """Like `write_atomically`, with a SHA-256 seal inside; the good version before it stays beside it."""
    content = _SEAL + hashlib.sha256(payload).digest() + payload
    with explained("write", path), prepared(path, content, mode) as temporary:
        if path.exists() and _unsealed(path) is not None:  # a torn file must not push out the last good one
            replace(path, _previous(path))
        replace(temporary, path)  # between these two lines only the previous version exists: readers fall back to it


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
    remove_durably(_previous(path))  # the older first: a crash between must not bring it back to life
    remove_durably(path)


def _unsealed(path: Path) -> bytes | None:
    """The payload, or None when the file is missing or does not match its seal at any byte."""
    if not path.exists():
        return None
    content = read(path)
    seal, payload = content[: len(_SEAL) + 32], content[len(_SEAL) + 32 :]
    return payload if seal == _SEAL + hashlib.sha256(payload).digest() else None


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}.previous")
