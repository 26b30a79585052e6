"""The benchmark of DP-SGD on a tiny network: what it promises to measure is there, and its judge can say no."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

pytest.importorskip("benchmarks.dp_sgd", reason="benchmarks are not part of the installed package")

from benchmarks.dp_sgd import exactness, gpu, safe_path, speed
from benchmarks.dp_sgd.cases import SMALLEST
from benchmarks.dp_sgd.measuring import Rounds, take_turns
from benchmarks.dp_sgd.opacus_routes import ABSENT
from benchmarks.dp_sgd.routes import Mapped, NonPrivate, Ours
from benchmarks.dp_sgd.table import put_into, tables
from benchmarks.record import Goal, as_json

ROOT = Path(__file__).parents[2]
EVERYBODY = {"non-private", "dpgen", "torch.func", *(() if ABSENT else ("Opacus hooks", "Opacus ghost"))}


def section(lines, goals, **changes):
    machine = {"device": "cpu", "processor": "any", "cores": "2", "torch": "2", "opacus": "1"}
    found = {
        "date": "2000-01-01",
        "machine": machine,
        "load": [0.1, 0.2],
        "quick": True,
        "repeats": 1,
        "complete": True,
    }
    return found | {"lines": lines, "goals": [goal.to_json() for goal in goals]} | changes


def as_lines(found):
    return json.loads(as_json({"lines": [asdict(one) for one in found]}))["lines"]


@pytest.mark.filterwarnings("ignore")
def test_speed_has_every_route_at_every_number_of_views_and_a_goal_for_ours():
    found = list(speed.speeds(SMALLEST, (1, 4), repeats=1))
    assert {(one.route, one.views) for one in found} == {(route, k) for route in EVERYBODY for k in (1, 4)}
    assert all(one.seconds > 0 and one.ratio > 0 and one.examples * one.views == one.rows for one in found)
    goals = list(speed.goals(found))
    assert len(goals) == 2 * (1 if ABSENT else 3)
    assert "views | dpgen | Opacus hooks" in tables({"speed": section(as_lines(found), goals)})


@pytest.mark.filterwarnings("ignore")
def test_ours_is_exact_in_the_benchmarks_own_eyes_and_ghost_mode_is_not():
    found = list(exactness.exactness(SMALLEST, (1, 4)))
    assert all(goal.met for goal in exactness.goals(found))
    if not ABSENT:
        ghosts = [one for one in found if one.route == "Opacus ghost"]
        assert max(one.contribution for one in ghosts if one.layout == "channels-last" and one.views == 1) > 1.5
        assert min(one.contribution for one in ghosts if one.views == 4) > 1.5, "rows are clipped, not examples"


@pytest.mark.parametrize("route", [Ours, Mapped])
def test_a_route_gives_the_same_again_and_leaves_no_gradient(route):
    one = route(SMALLEST.network(), views=4, clip_norm=1.0)
    first, again = (one.step(SMALLEST.inputs()).sum for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(p.grad is None for p in one.network.parameters())


def test_the_safe_path_is_a_real_release_and_its_bare_loop_sees_the_same_rows():
    found = [safe_path.safe_path(SMALLEST, examples, 1, records=60) for examples in (1, 2)]
    assert all(one.release > 0 and one.bare > 0 and one.rows > 0 for one in found)
    assert math.isclose(found[0].share, found[0].safety / found[0].gradients)
    assert math.isclose(safe_path.share_of(found[0].rows, found), found[0].share, rel_tol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_the_gpu_measurement_runs_through_on_the_cpu(monkeypatch):
    """Without compilation, which takes minutes here; the memory of a CPU is not its business."""
    eager = {name: one.eager for name, one in gpu.SETTINGS.items()}
    monkeypatch.setattr(gpu, "SETTINGS", eager)
    found = list(gpu.on_device(SMALLEST, 2, torch.device("cpu"), 1, most_rows=4))
    assert {one.route for one in found} == EVERYBODY - {"torch.func"}
    assert all(one.rows == 4 and one.rows_per_second > 0 and math.isnan(one.mebibytes) for one in found)
    assert any(goal.name.startswith("time over non-private on the GPU") for goal in gpu.goals(found))
    assert "channels-last, compiled" in tables({"gpu": section(as_lines(found), gpu.goals(found))})


def test_out_of_memory_ends_the_search_for_the_largest_batch(monkeypatch):
    class Full:
        def step(self, rows):
            if len(rows[0]) > 8:
                raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "made", lambda *_: Full())
    assert gpu.largest_that_fits(SMALLEST, NonPrivate, 2, torch.device("cpu"), 64) == 8


def test_turns_alternate_and_the_ratio_is_of_the_smallest():
    order = []
    found = take_turns({name: lambda name=name: order.append(name) for name in "ab"}, 2, lambda step: step() or 1.0)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert found["a"].seconds == (1.0, 1.0)
    assert Rounds((3.0, 2.0, 9.0)).over(Rounds((1.0, 1.5, 3.0))) == 2.0
    assert Rounds((3.0, 2.0, 9.0)).median_over(Rounds((1.0, 1.0, 3.0))) == 3.0


def test_a_missed_goal_is_said_in_the_tables():
    line = {"case": "x", "views": 1, "route": "dpgen", "rows": 8, "parameters": 5, "seconds": 1.3, "ratio": 1.31}
    line |= {"median_ratio": 1.4, "unrest": 1.0}
    text = tables({"speed": section([line], [Goal("time over non-private: x", 1.31, 1.30, at_least=False)])})
    assert "**1.31 MISSED** (<= 1.3) (1.40)" in text
    assert "- time over non-private: x: 1.31 (goal <= 1.3)" in text


def test_the_page_shows_the_tables_of_the_record_that_is_kept():
    page, record = ROOT / "docs/explanation/results.md", ROOT / "benchmarks/results/dp_sgd.json"
    shown = page.read_text()
    assert put_into(shown, tables(json.loads(record.read_text()))) == shown, "run benchmarks.dp_sgd.table --into"
    with pytest.raises(ValueError, match="must have the lines"):
        put_into("no marks", "tables")
