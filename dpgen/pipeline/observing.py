"""What a run tells while it goes on: to the progress display, and to the trackers of plugins, of each phase its steps.

The privacy spent is read off the plan: once the phase of a charge has begun, that charge counts in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from dpgen.errors import InvalidValue
from dpgen.mechanisms.context import Advance, Progress
from dpgen.plugins.progress_event import ProgressEvent, State
from dpgen.plugins.tracking import Trackers

_PARTS = 100
"""Events of a phase, at most: one a percent, so their number is public like the steps."""


@final
class Spending:
    """The epsilon that the plan has spent by a phase: phases are named like the charges that they make."""

    def __init__(self, cumulative: Mapping[str, float]) -> None:
        """`cumulative`: epsilon up to and with each charge, by label, in the order of the plan."""
        self._cumulative, self._spent = dict(cumulative), 0.0

    def reached(self, phase: str) -> float:
        """Enter `phase`; the spending up to now, 0 before the first charge."""
        self._spent = max(self._spent, self._cumulative.get(phase, 0.0))
        return self._spent


@final
class ObservedProgress(Progress):
    """Hands every phase on to `shown`, and tells the trackers: its name, its steps, the epsilon of the plan."""

    def __init__(
        self, shown: Progress, trackers: Trackers, *, run: str, cumulative: Mapping[str, float], folder: Path
    ) -> None:
        self._shown, self._trackers, self._spending = shown, trackers, Spending(cumulative)
        self._run, self._folder = run, folder

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """A phase of `total` steps. What fails in it is not reported as ended."""
        done, epsilon = 0, self._spending.reached(phase)

        def tell(state: State) -> None:
            with suppress(InvalidValue):  # a name or a count that is none is told to nobody
                event = ProgressEvent(run=self._run, phase=phase, state=state, done=done, total=total, epsilon=epsilon)
                self._trackers.tell(event, self._folder)

        with self._shown.track(phase, total) as show:
            tell("begun")

            def advance(steps: int) -> None:
                nonlocal done
                before, done = done, done + steps
                show(steps)
                if total > 0 and _PARTS * before // total < _PARTS * done // total:
                    tell("advanced")

            yield advance
            tell("ended")
