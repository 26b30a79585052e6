"""Public pretraining and sampling on two processes: the weights and images of one process, to rounding."""

from __future__ import annotations

import torch

from dpgen.data.info import DatasetInfo, Shape
from dpgen.distributed import World
from dpgen.generators.base import Task
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms import Checkpoints, RunContext
from dpgen.pipeline import sampling
from dpgen.testing.processes import together
from dpgen_plugins.diffusion.dpdm import Dpdm
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings

INFO = DatasetInfo(Shape(1, 8, 8), ("a", "b"), nominal_records=100)
COUNT = 11


def trained(world: World) -> dict[str, torch.Tensor]:
    """Batches of five do not divide by two; every second step there is a look at what is held back."""
    images = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network = fresh_network(NetworkSettings(base=4), INFO, seed=0)
    settings = PretrainSettings(steps=6, batch=5, jitter=0.5, validation_share=0.3, validation_every=2, patience=2)
    weights = pretrain(
        network,
        images,
        torch.arange(12) % 2,
        settings=settings,
        noise_levels=NoiseLevelSettings(),
        context=RunContext(checkpoints=Checkpoints(), world=world),
    )
    return {name: tensor.clone() for name, tensor in weights.items()}


def drawn(world: World, checkpoints: Checkpoints) -> tuple[torch.Tensor, torch.Tensor] | None:
    sampling.PART = 3
    generator = Dpdm(Dpdm.Config.model_validate({"network": {"base": 4}, "sampler": {"steps": 3, "batch": 2}}))
    task = Task(INFO, None, COUNT)
    torch.manual_seed(0)
    network = fresh_network(generator.config.network, INFO, seed=0)
    state = {name: tensor + 0.1 * torch.randn(tensor.shape) for name, tensor in network.state_dict().items()}
    generator.load_state_dict(state, task)
    context = RunContext(checkpoints=checkpoints, world=world)
    sampling.draw(generator, task, context)
    if not world.is_first:
        return None
    made = sampling.collected(generator, task, context.alone())
    return made.images, made.labels


def both(world: World) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor] | None]:
    return trained(world), drawn(world, Checkpoints())


def test_two_processes_make_what_one_makes(monkeypatch) -> None:
    monkeypatch.setattr(sampling, "PART", 3)
    first, second = together(2, both)
    assert first.kind is None, first.text
    assert second.kind is None, second.text
    weights, images = first.value
    assert second.value[1] is None
    assert all(torch.equal(tensor, second.value[0][name]) for name, tensor in weights.items()), "bit for bit alike"
    for name, tensor in trained(World()).items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    expected = drawn(World(), Checkpoints())
    assert expected is not None
    torch.testing.assert_close(images[0], expected[0], rtol=0, atol=1 / 255 + 1e-6)  # a pixel may round the other way
    assert torch.equal(images[1], expected[1])
