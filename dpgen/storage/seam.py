"""The seam between dpgen and the disk: where tests inject failures, and where failures become typed errors."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dpgen.errors import StorageError

FailHook = Callable[[str, Path], None]


def _nothing(operation: str, path: Path) -> None:
    """No failure: the hook of every real run."""


_hook: FailHook = _nothing


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
def explained(action: str, path: Path) -> Iterator[None]:
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
