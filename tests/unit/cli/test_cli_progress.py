"""Progress: few lines in logs, the privacy spent so far, nothing when quiet."""

from __future__ import annotations

import io

from rich.console import Console

from dpgen.cli.progress import BarProgress, LineProgress
from dpgen.pipeline.observing import Spending


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(steps: int, seconds_each: float) -> list[str]:
    stream, clock = io.StringIO(), Clock()
    progress = LineProgress({"query": 0.5, "finetune": 9.9}, stream, interval=5.0, clock=clock)
    with progress as shown, shown.track("finetune", steps) as advance:
        for _ in range(steps):
            clock.now += seconds_each
            advance(1)
    return stream.getvalue().splitlines()


def test_at_most_one_line_every_few_seconds():
    said = lines(steps=800, seconds_each=0.125)  # 100 seconds
    assert len(said) == 21
    assert said[0] == "finetune: 40/800  epsilon 9.9  about 1:35 min left"
    assert said[-1] == "finetune: done in 1:40 min  epsilon 9.9"


def test_a_quick_phase_says_nothing():
    assert lines(steps=10, seconds_each=0.1) == []


def test_spending_counts_a_charge_from_the_start_of_its_phase_and_never_falls():
    spending = Spending({"query": 0.5, "finetune": 9.9})
    said = [spending.reached(phase) for phase in ("classifier", "query", "pretrain", "finetune", "query", "sample")]
    assert said == [0.0, 0.5, 0.5, 9.9, 9.9, 9.9]


def test_bars_name_the_phase_and_the_privacy_spent():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with BarProgress({"finetune": 9.9}, console) as shown, shown.track("finetune", 4) as advance:
        advance(4)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "finetune" in drawn
    assert "4/4" in drawn
    assert "epsilon 9.9" in drawn
