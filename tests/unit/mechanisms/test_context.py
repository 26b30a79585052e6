from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dpgen.errors import StorageError
from dpgen.mechanisms import Checkpoints, RunContext
from dpgen.mechanisms.context import public_generator


@pytest.fixture(params=["memory", "folder"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path if request.param == "folder" else None)


def test_tensors_and_facts_come_back(checkpoints: Checkpoints) -> None:
    tensors = {"a": torch.randn(2, 3).T, "b": torch.tensor(7), "c": torch.zeros(0, dtype=torch.uint8)}
    checkpoints.save("x", tensors, {"step": 3})
    loaded = checkpoints.load("x")
    assert loaded is not None
    assert loaded.facts == {"step": 3}
    assert all(torch.equal(loaded.tensors[k], v) and loaded.tensors[k].dtype == v.dtype for k, v in tensors.items())
    checkpoints.drop("x")
    assert checkpoints.load("x") is None


def test_a_torn_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("x", {"a": torch.ones(100)})
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StorageError):
        checkpoints.load("x")


def test_a_finished_phase_is_not_made_again(checkpoints: Checkpoints) -> None:
    calls = []

    def make() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"value": torch.tensor(len(calls))}

    context = RunContext(checkpoints=checkpoints)
    assert [int(context.once("phase", make)["value"]) for _ in range(3)] == [1, 1, 1]


def test_published_files_land_in_the_folder_given(tmp_path: Path) -> None:
    RunContext(published=tmp_path / "release").publish("fact.json", b"{}")
    assert (tmp_path / "release" / "fact.json").read_bytes() == b"{}"
    RunContext().publish("fact.json", b"{}")  # nowhere to publish: dropped


def test_public_generators_differ_by_seed_and_purpose() -> None:
    draws = {
        (seed, purpose): torch.rand(4, generator=public_generator(seed, purpose))
        for seed in (0, 1)
        for purpose in ("weights", "batches")
    }
    assert torch.equal(draws[0, "weights"], torch.rand(4, generator=RunContext(seed=0).generator("weights")))
    assert len({tuple(d.tolist()) for d in draws.values()}) == 4
