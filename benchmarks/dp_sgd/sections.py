"""The parts of the benchmark: what each measures and how its goals are judged. `quick` means a smoke run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.dp_sgd import exactness, gpu, memory, safe_path, speed
from benchmarks.dp_sgd.cases import CASES, DEMO, PAPER, SMALLEST, VIEWS
from benchmarks.record import Goal

QUICK_VIEWS = (1, 4)


@dataclass(frozen=True)
class Section:
    """`measure(quick, repeats)` yields figures, dataclasses, as they are found; `judge` the goals of all of them."""

    measure: Callable[[bool, int], Iterator[Any]]
    judge: Callable[[Sequence[Any]], Iterator[Goal]]


def _exactness(quick: bool, _: int) -> Iterator[exactness.Exactness]:
    contest = {SMALLEST: QUICK_VIEWS} if quick else {PAPER: (1, 4), DEMO: (1, 3, 4, 32)}
    for case, views in contest.items():
        yield from exactness.exactness(case, views)


def _speed(quick: bool, repeats: int) -> Iterator[speed.Speed]:
    cases, views = ((SMALLEST,), QUICK_VIEWS) if quick else (CASES, VIEWS)
    for case in cases:
        yield from speed.speeds(case, views, repeats)


def _memory(quick: bool, _: int) -> Iterator[memory.Memory]:
    cases, views = ((SMALLEST,), QUICK_VIEWS[:1]) if quick else (CASES, VIEWS)
    for case in cases:
        yield from memory.memories(case, views)


def _safe_path(quick: bool, repeats: int) -> Iterator[safe_path.SafePath]:
    case, sizes, records = (SMALLEST, (1, 2), 100) if quick else (PAPER, safe_path.EXPECTED_EXAMPLES, safe_path.RECORDS)
    for examples in sizes:
        yield safe_path.safe_path(case, examples, repeats, records=records)


ON_CPU = {
    "speed": Section(_speed, speed.goals),
    "memory": Section(_memory, memory.goals),
    "exactness": Section(_exactness, exactness.goals),
    "safe_path": Section(_safe_path, safe_path.goals),
}
ON_GPU = {"gpu": Section(gpu.measure, gpu.goals)}


def chosen(names: Iterable[str]) -> dict[str, Section]:
    """Those sections on the CPU, in the order they run; all for no names."""
    wanted = set(names) or set(ON_CPU)
    return {name: section for name, section in ON_CPU.items() if name in wanted}
