"""Trackers are told where a run is and what the plan has spent, nothing else; none of them can stop the run."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dpgen
from dpgen.errors import InvalidValue
from dpgen.mechanisms.context import Progress, SilentProgress
from dpgen.pipeline import run
from dpgen.pipeline.observing import ObservedProgress
from dpgen.plugins.progress_event import ProgressEvent
from dpgen.plugins.registry import Registry
from dpgen.testing.toy_run import toy_config, toy_registry

FACTS: dict[str, Any] = {"run": "demo", "phase": "fit", "state": "begun", "done": 0, "total": 5, "epsilon": 0.5}


def tracker(tell) -> ModuleType:
    def dpgen_run_progress(event):
        tell(event)

    made = ModuleType("tracker")
    vars(made)["dpgen_run_progress"] = dpgen.hookimpl(dpgen_run_progress)
    return made


def observed(*tells, shown: Progress | None = None) -> tuple[ObservedProgress, Any]:
    registry = Registry()
    for i, tell in enumerate(tells):
        registry.register(tracker(tell), name=f"tracker_{i}")
    trackers = registry.trackers()
    spent = {"query": 0.5, "finetune": 9.9}
    progress = ObservedProgress(
        shown or SilentProgress(), trackers, run="demo", cumulative=spent, folder=Path("internal")
    )
    return progress, trackers


def test_each_phase_begins_advances_and_ends_with_the_epsilon_of_the_plan():
    seen: list[ProgressEvent] = []
    progress, _ = observed(seen.append)
    for phase in ("query", "pretrain", "finetune"):
        with progress.track(phase, 2) as advance:
            advance(1)
            advance(1)
    assert [event.state for event in seen[:4]] == ["begun", "advanced", "advanced", "ended"]
    assert [(event.done, event.total) for event in seen[:4]] == [(0, 2), (1, 2), (2, 2), (2, 2)]
    assert [event.epsilon for event in seen[::4]] == [0.5, 0.5, 9.9]


@pytest.mark.parametrize("total", [7, 100, 12_345])
def test_the_number_of_events_is_bounded_and_follows_from_the_steps_alone(total: int):
    seen: list[ProgressEvent] = []
    progress, _ = observed(seen.append)
    with progress.track("finetune", total) as advance:
        for _ in range(total):
            advance(1)
    assert len(seen) == 2 + min(total, 100)
    assert seen[-1].done == total


def test_a_phase_that_fails_never_ends():
    seen: list[ProgressEvent] = []
    progress, _ = observed(seen.append)
    with pytest.raises(KeyError), progress.track("finetune", 2):
        raise KeyError
    assert [event.state for event in seen] == ["begun"]


def test_what_is_shown_is_shown_as_before():
    shown: list[object] = []

    class Shown(Progress):
        @contextmanager
        def track(self, phase, total):
            shown.append((phase, total))
            yield shown.append

    progress, _ = observed(shown=Shown())
    with progress.track("finetune", 3) as advance:
        advance(3)
    assert shown == [("finetune", 3), 3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"done": 0.731},  # a loss has no place
        {"total": True},
        {"done": -1},
        {"phase": "loss 0.31\n"},
        {"phase": "x" * 81},
        {"run": ""},
        {"state": "loss=0.3"},
        {"epsilon": float("nan")},
    ],
)
def test_an_event_holds_names_steps_and_epsilon_and_nothing_else(wrong: dict[str, Any]):
    assert set(ProgressEvent(**FACTS).to_json()) == {"run", "phase", "state", "done", "total", "epsilon"}
    with pytest.raises(InvalidValue):
        ProgressEvent(**FACTS | wrong)
    with pytest.raises(TypeError):
        ProgressEvent(**FACTS, loss=0.3)  # type: ignore[call-arg]


def test_what_is_no_event_is_told_to_nobody_and_harms_nothing():
    seen: list[ProgressEvent] = []
    progress, _ = observed(seen.append)
    with progress.track("a value 0.123 in a name that goes on and on " * 3, 2) as advance:
        advance(1)
    with progress.track("fit", 2) as advance:
        advance(0.25)  # type: ignore[arg-type]
    assert [(event.phase, event.state) for event in seen] == [("fit", "begun")]


@pytest.mark.parametrize("error", [ValueError("offline"), SystemExit(3), KeyError()])
def test_a_tracker_that_fails_is_told_nothing_more_and_the_others_are(caplog, error: BaseException):
    calls: list[str] = []
    seen: list[ProgressEvent] = []

    def fail(event: ProgressEvent) -> None:
        calls.append(event.state)
        raise error

    progress, trackers = observed(fail, seen.append)
    with caplog.at_level(logging.WARNING, logger="dpgen.plugins"), progress.track("finetune", 2) as advance:
        advance(2)
    assert calls == ["begun"]
    assert [event.state for event in seen] == ["begun", "advanced", "ended"]
    assert "tracker tracker_0 failed" in caplog.text
    with pytest.warns(RuntimeWarning, match=r"the run is complete, but plugin 'tracker_0'.*dpgen_run_progress"):
        trackers.warn()


def test_a_run_with_a_broken_tracker_is_finished_all_the_same(tmp_path: Path):
    def fail(event: ProgressEvent) -> None:
        raise OSError("disk full")

    seen: list[ProgressEvent] = []
    registry = toy_registry()
    registry.register(tracker(fail), name="a_broken")
    registry.register(tracker(seen.append), name="whole")
    with pytest.warns(RuntimeWarning, match="a_broken"):
        record = run(toy_config(tmp_path), registry=registry)
    assert record.released
    last = max(event.epsilon for event in seen)
    assert last == pytest.approx(record.guarantee.epsilon_upper)
    assert {"refine", "sample"} <= {event.phase for event in seen}
    lines = [json.loads(line) for line in (tmp_path / "run/internal/progress.jsonl").read_text().splitlines()]
    assert [ProgressEvent(**line) for line in lines] == seen  # the tracker that dpgen ships
    assert not list((tmp_path / "run/release").rglob("progress*"))
