"""One fault in a copy of the tree, and the first test that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal, TypeAlias

from benchmarks.seeded_faults.fault import Fault
from benchmarks.seeded_faults.tree import another_copy

Stage: TypeAlias = Literal["targeted", "quick", "all", "escaped"]

QUICK: Final = (
    "tests/unit",
    "tests/replay",
    "tests/conformance",
    "tests/integration/test_run_folder.py",
)
"""The tests that run in under two minutes on two cores (`-n 2`): about 200 s of processor time."""

NOT_QUICK: Final = ("tests/unit/test_benchmark_*", "tests/unit/mechanisms/test_dp_sgd_compute.py")
"""Of these, what is left out: what tests the benchmarks themselves, and what waits for a compiler."""

STAGES: Final = ("targeted", "quick", "all")
_TESTS_OF: Final = {"quick": (*QUICK, *(f"--ignore-glob={left_out}" for left_out in NOT_QUICK)), "all": ("tests",)}

_OWN_TEST: Final = "tests/unit/test_benchmark_seeded_faults.py"
"""It says that every fault applies, so it fails wherever one was applied."""

_PATIENCE: Final = 3600.0
"""Seconds after which tests that do not end count as failed."""
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


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


def is_quick(test: str | None) -> bool:
    """Whether `test` is one of those that take under two minutes together."""
    file = (test or "").partition("::")[0]
    return file.startswith(QUICK) and not any(fnmatch(file, left_out) for left_out in NOT_QUICK)


def first_failure(tree: Path, tests: Sequence[str]) -> str | None:
    """The name of the first test of `tree` that fails; None where all pass."""
    surroundings = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "-rfE", f"--ignore={_OWN_TEST}", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=surroundings, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return "no end"
    if done.returncode == 0:
        return None
    found = _FAILED.search(done.stdout)
    if found is None:  # neither a failed test nor a fault that breaks an import
        raise RuntimeError(f"pytest could not run {tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found.group(1)


def try_fault(fault: Fault, sound: Path, *, until: str) -> Outcome:
    """Targeted tests first, then the quick ones, then all, as far as `until`; the first failure ends the trial.

    `sound` is the unfaulted tree, whose targeted tests are known to pass. A later test counts only where it passes
    there.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="seeded-fault-") as folder:
        tree = another_copy(sound, Path(folder) / "tree")
        fault.apply(tree)
        for stage in STAGES[: STAGES.index(until) + 1]:
            failed = first_failure(tree, _TESTS_OF.get(stage, fault.tests))
            if failed is None:
                continue
            if stage != "targeted":
                _require_passing(sound, failed)
            return Outcome(fault, stage, failed, round(time.monotonic() - begin, 1))  # type: ignore[arg-type]
    return Outcome(fault, "escaped", None, round(time.monotonic() - begin, 1))


def _require_passing(sound: Path, test: str) -> None:
    if test != "no end" and first_failure(sound, [test]) is not None:
        raise RuntimeError(f"{test} fails without any fault too. Mend it first.")


def try_together(changes: Sequence[Fault], sound: Path, *, until: str) -> list[Outcome]:
    """Benign `changes` all at once: where no test fails, none of them fails one. Else each by itself."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="seeded-fault-") as folder:
        tree = another_copy(sound, Path(folder) / "tree")
        for change in changes:
            change.apply(tree)
        tests = _TESTS_OF.get(until, sorted({test for change in changes for test in change.tests}))
        failed = first_failure(tree, tests)
        if failed is None:
            seconds = round(time.monotonic() - begin, 1)
            return [Outcome(change, "escaped", None, seconds) for change in changes]
    _require_passing(sound, failed)
    return [try_fault(change, sound, until=until) for change in changes]
