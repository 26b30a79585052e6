"""Clocks, and how routes take turns so that other load on the machine hits all of them alike.

Other load only ever adds to a processor time (caches, memory, a shared core), so the smallest of some rounds is nearest
to the truth; the ratio of two smallest is what the goals are judged by. The median of the ratios within one round is
printed beside it: where the two differ much, the machine was too busy to tell.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Clock = Callable[[Callable[[], object]], float]
"""Runs a step and says its seconds."""


@dataclass(frozen=True)
class Rounds:
    """Seconds of one step, one entry a round."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        """The smallest."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def over(self, other: Rounds) -> float:
        """Ratio of the two smallest."""
        return self.best / other.best

    def median_over(self, other: Rounds) -> float:
        """Median of the ratios within a round."""
        return statistics.median(a / b for a, b in zip(self.seconds, other.seconds, strict=True))


def take_turns(steps: Mapping[str, Callable[[], object]], repeats: int, clock: Clock) -> dict[str, Rounds]:
    """Every step once to warm up, then `repeats` rounds, each starting with another step."""
    for step in steps.values():
        step()
    names, seconds = list(steps), {name: list[float]() for name in steps}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            seconds[name].append(clock(steps[name]))
    return {name: Rounds(tuple(found)) for name, found in seconds.items()}


def processor_seconds(step: Callable[[], object]) -> float:
    """Processor time of the whole process, all its threads together."""
    start = time.process_time()
    step()
    return time.process_time() - start


def device_seconds(step: Callable[[], object]) -> float:
    """Wall-clock time until a CUDA device has done its work; without one, wall-clock time."""
    _wait()
    start = time.perf_counter()
    step()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
