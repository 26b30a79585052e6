"""Copies of the tree to put faults into: of a commit, so that nobody's unfinished work is on trial with them."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

WORKING: Final = "working"
"""The name of the tree as it lies in the folder, uncommitted changes and all."""

_PARTS: Final = ("dpgen", "dpgen_plugins", "benchmarks", "tests", "docs", "requirements")
_FILES: Final = ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml")


def name_of(commit: str) -> str:
    """The short hash of `commit`; "working" for the working tree."""
    return commit if commit == WORKING else _git("rev-parse", "--short", commit).decode().strip()


def sound_copy(commit: str, target: Path) -> Path:
    """The tree of `commit`, or the working tree, without caches, in the new folder `target`."""
    if commit == WORKING:
        for part in _PARTS:
            shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in _FILES:
            shutil.copy(ROOT / name, target / name)
    else:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
            archive.extractall(target, filter="data")
    shared = ROOT.parent / "shared"
    if shared.exists():  # real data, for the tests that skip without it
        (target.parent / "shared").symlink_to(shared)
    return target


def another_copy(source: Path, target: Path) -> Path:
    """`source` once more, in the new folder `target`, for one trial."""
    shutil.copytree(source, target)
    shared = source.parent / "shared"
    if shared.exists():
        (target.parent / "shared").symlink_to(shared.resolve())
    return target


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
