"""`[compute]` reaches public pretraining and sampling: the same to rounding, and where it fails, the same exactly."""

from __future__ import annotations

import logging

import pytest
import torch

from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms import Checkpoints, Compute, RunContext
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.prediction import CompiledPrediction, prediction
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings

INFO = DatasetInfo(Shape(1, 8, 8), ("a", "b"), nominal_records=100)
IMAGES = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


def trained(compute: Compute) -> dict[str, torch.Tensor]:
    network = fresh_network(NetworkSettings(base=8), INFO, seed=0)
    return pretrain(
        network,
        IMAGES,
        torch.arange(12) % 2,
        settings=PretrainSettings(steps=8, batch=6, learning_rate=1e-2),
        noise_levels=NoiseLevelSettings(),
        context=RunContext(checkpoints=Checkpoints(), compute=compute),
    )


def test_pretraining_follows_it_by_rounding_alone() -> None:
    plain, rounded, placed = (
        trained(Compute(precision=precision, channels_last=channels_last))
        for precision, channels_last in (("float32", False), ("bfloat16", False), ("float32", True))
    )
    start = fresh_network(NetworkSettings(base=8), INFO, seed=0).state_dict()

    def moved(weights: dict[str, torch.Tensor], origin: dict[str, torch.Tensor]) -> float:
        return sum(float((weights[name] - tensor).square().sum()) for name, tensor in origin.items()) ** 0.5

    way = moved(plain, start)
    assert 0 < moved(rounded, plain) < 0.3 * way, "bfloat16 was used, and led to the same place"
    assert moved(placed, plain) < 0.05 * way
    assert all(tensor.dtype == torch.float32 for tensor in rounded.values())


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(3), torch.tensor([0, 1, 0])


def network() -> torch.nn.Module:
    made = fresh_network(NetworkSettings(base=8), INFO, seed=0)
    torch.manual_seed(0)
    torch.nn.init.normal_(made.head.weight, std=0.1)
    return made.requires_grad_(False)


@pytest.mark.parametrize("compute", [Compute(precision="bfloat16"), Compute(channels_last=True), Compute()])
def test_a_prediction_is_float32_and_that_of_the_network_to_rounding(compute: Compute) -> None:
    expected = network()(*rows())
    found = prediction(network(), compute, CPU)(*rows())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_a_compiled_prediction_is_that_of_the_network() -> None:
    plain = network()
    compiled = CompiledPrediction(plain, backend="eager")
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(compiled(*rows()), plain(*rows()))


def test_what_cannot_be_compiled_is_computed_without_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    def failing(graph: object, inputs: object) -> object:
        raise RuntimeError("no compiler on this machine, say")

    plain = network()
    compiled = CompiledPrediction(plain, backend=failing)
    with caplog.at_level(logging.WARNING, "dpgen.diffusion"), torch.inference_mode():
        for _ in range(2):
            assert torch.equal(compiled(*rows()), plain(*rows()))
    (record,) = caplog.records
    assert record.getMessage().startswith("sampling is computed without torch.compile: ")
