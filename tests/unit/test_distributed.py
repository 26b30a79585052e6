"""The processes of a run: one of them is no special case, parts are even, and only the first one writes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dpgen.distributed import World, joined
from dpgen.errors import DistributedError, ProcessLost
from dpgen.mechanisms import Checkpoints, RunContext
from dpgen.testing.processes import together


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 16])
def test_ids_are_dealt_once_and_evenly(size: int, count: int):
    ids = np.arange(100, 100 + count)
    parts = [World(rank, size).share(ids) for rank in range(size)]
    assert sorted(np.concatenate(parts)) == ids.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_one_process_does_everything_itself():
    world, tensors = World(), {"a": torch.ones(2)}
    assert world.is_first
    assert world.add_up(tensors, lambda total: total) is tensors
    assert world.from_first(lambda: 3) == world.attempt(lambda: 3) == 3
    world.require_equal("weights", lambda: pytest.fail("nobody to compare with"))
    with pytest.raises(ZeroDivisionError):
        world.attempt(lambda: 1 / 0)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with joined() as world:
        assert world == World()


def test_torchrun_with_one_process_needs_no_other(monkeypatch: pytest.MonkeyPatch):
    named = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    with joined() as world:
        assert world == World()


def test_only_the_first_process_writes(tmp_path: Path):
    second = RunContext(checkpoints=Checkpoints(tmp_path), published=tmp_path / "release", world=World(1, 2))
    second.publish("fact.json", b"{}")
    second.checkpoints.save("phase", {"a": torch.ones(1)})
    assert not list(tmp_path.iterdir())
    first = RunContext(checkpoints=Checkpoints(tmp_path), published=tmp_path / "release", world=World(0, 2))
    first.publish("fact.json", b"{}")
    first.checkpoints.save("phase", {"a": torch.ones(1)})
    second.checkpoints.drop("phase")
    assert {path.name for path in tmp_path.iterdir()} == {"release", "phase.checkpoint"}


# --- two processes ------------------------------------------------------------------------------------------------


def meetings(world: World) -> dict[str, Any]:
    """Every meeting once, those that fail included: a world outlives a failure that all of them see."""
    counts: list[int] = []

    def finish(total: dict[str, Tensor]) -> dict[str, Tensor]:
        counts.append(1)
        return {name: total[name] / 2 for name in reversed(total)}

    own = {
        "a": torch.full((2, 2), 1.0 + world.rank, dtype=torch.float64),
        "b": torch.tensor([4.0 * world.rank]).double(),
    }
    found: dict[str, Any] = {"sum": world.add_up(own, finish), "finished": len(counts)}
    found["from first"] = world.from_first(lambda: world.rank)
    found["attempt"] = world.attempt(lambda: world.rank)
    world.require_equal("name", lambda: "same")
    for name, act in {
        "first fails": lambda: world.from_first(lambda: 1 / 0),
        "second fails": lambda: world.attempt(lambda: 1 / (1 - world.rank)),
        "both fail": lambda: world.attempt(lambda: 1 / 0),
        "differ": lambda: world.require_equal("name", lambda: str(world.rank)),
    }.items():
        try:
            act()
        except (ZeroDivisionError, ProcessLost, DistributedError) as error:
            found[name] = (type(error).__name__, getattr(error, "rank", None), getattr(error, "kind", None))
    context = RunContext(world=world)
    found["once"] = float(context.once("phase", lambda: {"value": torch.tensor(10.0 + world.rank)})["value"])
    return found


def late(world: World) -> None:
    time.sleep(2.0 * world.rank)
    world.add_up({"a": torch.ones(1)}, lambda total: total)


def test_two_processes_meet():
    first, second = (outcome.value for outcome in together(2, meetings))
    for found in (first, second):
        assert torch.equal(found["sum"]["a"], torch.full((2, 2), 1.5, dtype=torch.float64))
        assert found["sum"]["b"].tolist() == [2.0]
        assert (found["from first"], found["once"]) == (0, 10.0)
        assert found["differ"] == ("DistributedError", None, None)
    assert (first["finished"], second["finished"]) == (1, 0)
    assert (first["attempt"], second["attempt"]) == (0, 1)
    own, following = ("ZeroDivisionError", None, None), ("ProcessLost", 0, "ZeroDivisionError")
    assert (first["first fails"], second["first fails"]) == (own, following)
    assert (first["second fails"], second["second fails"]) == (("ProcessLost", 1, "ZeroDivisionError"), own)
    assert (first["both fail"], second["both fail"]) == (own, following)


def test_a_process_that_does_not_answer_in_time_stops_the_others():
    outcomes = together(2, late, step_seconds=0.5)
    assert outcomes[0].kind == "ProcessLost"
    assert "does not answer (adding up" in str(outcomes[0].text)
