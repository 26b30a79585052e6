"""What a crash would leave behind, at every file operation of one run: copies of its folder, taken as it goes.

`run_until_killed` kills one process at one point. Here one run meets all points: just before each write, sync, rename,
removal, truncation and lock the whole folder is copied. A kill there would leave just these files, because dpgen keeps
nothing else: the kernel drops the locks of a dead process, and what it had written stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from dpgen.storage import failing


@final
@dataclass(frozen=True)
class CrashImage:
    """The files as they were just before `operation` on the file called `name`, and what had been read by then."""

    operation: str
    name: str
    files: Path
    measured: tuple[str, ...]

    def restore(self, folder: Path) -> None:
        """Make `folder` what it was at that moment."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.files, folder)


@contextmanager
def photographed(folder: Path, album: Path, measured: list[str]) -> Iterator[list[CrashImage]]:
    """Copy `folder` into `album` before each storage operation in the block; `measured` grows as data is read."""
    images: list[CrashImage] = []

    def hook(operation: str, path: Path) -> None:
        place = album / str(len(images))
        shutil.copytree(folder, place)
        images.append(CrashImage(operation, path.name, place, tuple(measured)))

    with failing(hook):
        yield images
