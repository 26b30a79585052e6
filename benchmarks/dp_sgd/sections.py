"""The parts of the benchmark: each measures, and says which goals it judges; `quick` means a smoke run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.dp_sgd import exactness, memory, safe_path, speed
from benchmarks.dp_sgd.cases import CASES, DEMO, PAPER, SMALLEST, VIEWS
from benchmarks.record import Goal

Line = dict[str, Any]
Section = Callable[[bool, int], tuple[list[Line], list[Goal]]]
QUICK_VIEWS = (1, 4)


def exact(quick: bool, _: int) -> tuple[list[Line], list[Goal]]:
    """Exactness against autograd on one example at a time"""
    contest = {SMALLEST: QUICK_VIEWS} if quick else {PAPER: (1, 4), DEMO: (1, 3, 4, 32)}
    found = [one for case, views in contest.items() for one in exactness.exactness(case, views)]
    return _lines(found), list(exactness.goals(found))


def fast(quick: bool, repeats: int) -> tuple[list[Line], list[Goal]]:
    """Processor time of a step, one thread, all routes in one process on the same rows"""
    cases, views = ((SMALLEST,), QUICK_VIEWS) if quick else (CASES, VIEWS)
    found = [one for case in cases for one in speed.speeds(case, views, repeats)]
    return _lines(found), list(speed.goals(found))


def lean(quick: bool, _: int) -> tuple[list[Line], list[Goal]]:
    """Peak memory of a step above the level before it, each route in a process of its own"""
    cases, views = ((SMALLEST,), QUICK_VIEWS[:1]) if quick else (CASES, VIEWS)
    found = [one for case in cases for one in memory.memories(case, views)]
    return _lines(found), list(memory.goals(found))


def safe(quick: bool, repeats: int) -> tuple[list[Line], list[Goal]]:
    """The safe path against a bare loop of clipped sums"""
    case, sizes, records = (SMALLEST, (1, 2), 100) if quick else (PAPER, safe_path.EXPECTED_EXAMPLES, safe_path.RECORDS)
    found = [safe_path.safe_path(case, examples, repeats, records=records) for examples in sizes]
    lines = [line | {"share": one.share} for line, one in zip(_lines(found), found, strict=True)]
    return lines, list(safe_path.goals(found))


def _lines(found: Sequence[Any]) -> list[Line]:
    return [asdict(one) for one in found]


SECTIONS: dict[str, Section] = {"exactness": exact, "speed": fast, "memory": lean, "safe_path": safe}


def chosen(names: Iterable[str]) -> dict[str, Section]:
    """Those sections, in the order they run; all for no names."""
    wanted = set(names) or set(SECTIONS)
    return {name: section for name, section in SECTIONS.items() if name in wanted}
