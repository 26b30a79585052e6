"""One fault in a copy of the tree, and the first test that fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.seeded_faults.fault import Fault

ROOT: Final = Path(__file__).resolve().parents[2]

QUICK: Final = ("tests/unit", "tests/replay")
"""The tests that run in under two minutes on two cores."""

Stage = Literal["targeted", "quick", "all", "escaped"]

_PARTS = ("dpgen", "dpgen_plugins", "benchmarks", "tests", "docs", "requirements")
_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: the test that failed first, in which stage, after how many seconds."""

    fault: Fault
    stage: Stage
    test: str | None
    seconds: float

    @property
    def good(self) -> bool:
        """A fault was caught, or a benign change was let through."""
        return (self.stage == "escaped") == self.fault.benign


def copy_of_the_tree(target: Path) -> None:
    """All that the tests need, without caches."""
    for part in _PARTS:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy(ROOT / name, target / name)
    shared = ROOT.parent / "shared"
    if shared.exists():  # real data, for the tests that skip without it
        (target.parent / "shared").symlink_to(shared)


def try_fault(fault: Fault, *, everything: bool) -> Outcome:
    """Targeted tests first, then the quick ones, then (with `everything`) all; stop at the first failure."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="seeded-fault-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        copy_of_the_tree(tree)
        fault.apply(tree)
        stages: list[tuple[Stage, tuple[str, ...]]] = [("targeted", fault.tests), ("quick", QUICK)]
        for stage, tests in [*stages, ("all", ("tests",))] if everything else stages:
            failed = _first_failure(tree, tests)
            if failed is not None:
                return Outcome(fault, stage, failed, round(time.monotonic() - begin, 1))
    return Outcome(fault, "escaped", None, round(time.monotonic() - begin, 1))


def _first_failure(tree: Path, tests: tuple[str, ...]) -> str | None:
    surroundings = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "-rfE", *tests]
    done = subprocess.run(command, cwd=tree, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    if done.returncode not in (1, 2):  # 1: tests failed; 2: a fault that breaks the import of a test
        raise RuntimeError(f"pytest could not run {tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = _FAILED.search(done.stdout)
    return found.group(1) if found else "collection"
