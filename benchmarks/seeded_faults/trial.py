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

Stage: TypeAlias = Literal["targeted", "quick", "all", "crashed", "escaped"]

QUICK: Final = (
    "tests/unit",
    "tests/replay",
    "tests/conformance",
    "tests/integration/test_run_folder.py",
)
"""The tests that run in under two minutes on two cores (`-n 2`): about 200 s of processor time."""

NOT_QUICK: Final = ("tests/unit/test_benchmark_*", "tests/unit/mechanisms/test_dp_sgd_compute.py")
"""Of these, what is left out: what tests the benchmarks themselves, and what waits for a compiler."""

STAGES: Final[tuple[Stage, ...]] = ("targeted", "quick", "all")
_TESTS_OF: Final = {"quick": (*QUICK, *(f"--ignore-glob={left_out}" for left_out in NOT_QUICK)), "all": ("tests",)}

_OWN_TEST: Final = "tests/unit/test_benchmark_seeded_faults.py"
"""It says that every fault applies, so it fails wherever one was applied."""

_PATIENCE: Final = 3600.0
"""Seconds after which tests that do not end count as failed."""
_NO_END: Final = "no end"
_FAILED: Final = re.compile(r"^(FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)
_EXCEPTION: Final = re.compile(r"(?:failed on \w+ with \")?(?:\w+\.)*(\w+)(?:: |$)")

CRASHES: Final = frozenset(
    {"AttributeError", "ImportError", "IndexError", "KeyError", "ModuleNotFoundError", "NameError", "RuntimeError",
     "SyntaxError", "TypeError", "UnboundLocalError", "ValueError"}
)  # fmt: skip
"""What Python and the libraries raise where a change does not even run: that says nothing about the tests."""
NOT_COLLECTED: Final = "not collected"
"""The kind of a failure before any test ran."""


@dataclass(frozen=True)
class Failure:
    """The first test that failed, and with what: `AssertionError`, `Failed` (nothing was raised), `PlanMismatch` ..."""

    test: str
    kind: str

    @property
    def is_crash(self) -> bool:
        """Whether the change broke the code instead of the rule."""
        return self.kind in CRASHES or self.kind == NOT_COLLECTED


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: the test that failed first, how and in which stage, after how many seconds."""

    fault: Fault
    stage: Stage
    test: str | None
    seconds: float
    kind: str | None = None

    @property
    def good(self) -> bool:
        """A fault was caught, or a benign change was let through."""
        return self.stage == "escaped" if self.fault.benign else self.stage not in ("crashed", "escaped")


def is_quick(test: str | None) -> bool:
    """Whether `test` is one of those that take under two minutes together."""
    file = (test or "").partition("::")[0]
    return file.startswith(QUICK) and not any(fnmatch(file, left_out) for left_out in NOT_QUICK)


def first_failure(tree: Path, tests: Sequence[str]) -> Failure | None:
    """The first test of `tree` that fails; None where all pass."""
    surroundings = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    shown = ("--tb=no", "-rfE", "--verbosity=2")  # less verbose, the summary cuts off with what a test failed
    command = [sys.executable, "-m", "pytest", "-x", *shown, f"--ignore={_OWN_TEST}", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=surroundings, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Failure(_NO_END, _NO_END)
    if done.returncode == 0:
        return None
    found = _FAILED.search(done.stdout)
    if found is None:  # neither a failed test nor a fault that breaks an import
        raise RuntimeError(f"pytest could not run {tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return _failure(*found.groups())


def _failure(word: str, test: str, message: str | None) -> Failure:
    if word == "ERROR" and "::" not in test:
        return Failure(test, NOT_COLLECTED)
    kind = _EXCEPTION.match(message or "")  # pytest leaves the name out before "assert ..."
    return Failure(test, kind.group(1) if kind else "AssertionError")


def try_fault(fault: Fault, sound: Path, *, until: str) -> Outcome:
    """Targeted tests first, then the quick ones, then all, as far as `until`; the first failure ends the trial.

    `sound` is the unfaulted tree, whose targeted tests are known to pass. A later test counts only where it passes
    there. A crash ends it too, and counts for nothing: such a fault has to be written anew.
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
                _require_passing(sound, failed.test)
            seen: Stage = "crashed" if failed.is_crash else stage
            return Outcome(fault, seen, failed.test, round(time.monotonic() - begin, 1), failed.kind)
    return Outcome(fault, "escaped", None, round(time.monotonic() - begin, 1))


def _require_passing(sound: Path, test: str) -> None:
    if test != _NO_END and first_failure(sound, [test]) is not None:
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
    _require_passing(sound, failed.test)
    return [try_fault(change, sound, until=until) for change in changes]
