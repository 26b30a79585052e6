"""How a run shows its progress: bars on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from dpgen.mechanisms.context import Advance, Progress
from dpgen.pipeline.observing import Spending

SECONDS_BETWEEN_LINES = 5.0


@final
class BarProgress(Progress, AbstractContextManager["BarProgress"]):
    """One bar a phase: steps, epsilon so far, time gone and time left. For terminals."""

    def __init__(self, cumulative: Mapping[str, float], console: Console) -> None:
        self._spending = Spending(cumulative)
        self._bars = Bars(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[spent]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Show a bar for `phase`."""
        task = self._bars.add_task(phase, total=total, spent=_spent(self._spending.reached(phase)))
        yield lambda steps: self._bars.advance(task, steps)
        self._bars.stop_task(task)


@final
class LineProgress(Progress, AbstractContextManager["LineProgress"]):
    """At most one plain line every few seconds, and one for the end of a phase that took longer. For logs."""

    def __init__(
        self,
        cumulative: Mapping[str, float],
        stream: TextIO | None = None,
        *,
        interval: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spending, self._stream = Spending(cumulative), stream or sys.stderr
        self._interval, self._clock, self._last = interval, clock, clock()

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Print how far `phase` is, now and then."""
        start, done, spent = self._clock(), 0, _spent(self._spending.reached(phase))

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            now = self._clock()
            if now - self._last >= self._interval:
                self._last = now
                left = f"about {_duration((now - start) / done * (total - done))} left" if 0 < done < total else ""
                self._say(f"{phase}: {done}/{total}", spent, left)

        yield advance
        if self._clock() - start >= self._interval:
            self._say(f"{phase}: done in {_duration(self._clock() - start)}", spent)

    def _say(self, *parts: str) -> None:
        print("  ".join(part for part in parts if part), file=self._stream, flush=True)


def _spent(epsilon: float) -> str:
    """The spending as text, empty before the first charge."""
    return f"epsilon {epsilon:.3g}" if epsilon else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
