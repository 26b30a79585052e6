"""One run on toy data, as seen from outside: noise calls, release, charges, looks at records, traces, error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np

from dpgen.accountants.base import Accountant, Bound
from dpgen.budget import Charge, NeighboringRelation
from dpgen.events import DpEvent
from dpgen.mechanisms.context import Advance, Progress
from dpgen.testing.conformance.failure import Unjudged
from dpgen.testing.conformance.surroundings import Traces
from dpgen.testing.conformance.watched import WatchedRecords
from dpgen.testing.tape import Array, Tape


@dataclass
class Observation:
    """What was seen. `release` is all that came out, by name; `value` the object that it was read off."""

    tape: Tape
    traces: Traces
    records: WatchedRecords
    value: Any = None
    release: dict[str, Array] = field(default_factory=dict)
    charges: tuple[Charge, ...] = ()
    progress: list[str] = field(default_factory=list)
    error: Exception | None = None

    def require_success(self) -> None:
        """Raises: `Unjudged` when the run failed: `check_runs_on_toy_data` says how."""
        if self.error is not None:
            raise Unjudged(f"the run on toy data ended with {type(self.error).__name__}") from self.error


def different(first: dict[str, Array], second: dict[str, Array]) -> list[str]:
    """The names under which two releases differ."""
    both = first.keys() & second.keys()
    return sorted((first.keys() ^ second.keys()) | {name for name in both if not _equal(first[name], second[name])})


def _equal(first: Array, second: Array) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


class Stopped(BaseException):
    """The kit ends a run in its middle. Not an `Exception`, so that no plugin swallows it."""


@final
class NotedProgress(Progress):
    """Notes every phase and step, and stops the run after `stop_after` of them."""

    def __init__(self, lines: list[str], stop_after: int | None = None) -> None:
        self._lines, self._stop_after = lines, stop_after

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Note the phase, its length, and each advance."""
        self._lines.append(f"{phase}: {total} steps")

        def advance(steps: int) -> None:
            self._lines.append(f"{phase}: {steps} done")
            if self._stop_after is not None and len(self._lines) > self._stop_after:
                raise Stopped

        yield advance


@final
class FreeAccountant(Accountant):
    """Prices everything at 0: for measuring with a mechanism alone, where no budget is at stake."""

    name = "free"
    kind = "bound"
    _FREE: Final = Bound(0.0, 0.0, 0.0, "bound")

    @property
    def adaptive(self) -> bool:
        """Charges are planned."""
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """Everything."""
        return True

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """Nothing."""
        return self._FREE

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """Nothing."""
        return self._FREE
