"""The documented sizes of the U-Net: their parameters; and each image size, forward, backward and under DP-SGD."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from dpgen.mechanisms.dp_sgd import clipped_gradient_sum
from dpgen.networks.unet import UNet
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "configuration.md").read_text()
ROW = re.compile(r"^\| ([\d.]+)M \| \S+ \| (\d+) \| \[([\d, ]+)\] \| (\d+) \| \[([\d, ]+)\] \|$", re.MULTILINE)
LADDER = {
    float(millions): NetworkSettings(
        base=int(base),
        multipliers=tuple(map(int, multipliers.split(","))),
        blocks=int(blocks),
        attention=tuple(map(int, attention.split(","))),
    )
    for millions, base, multipliers, blocks, attention in ROW.findall(PAGE)
}
UNET = {"base", "multipliers", "blocks", "attention", "embedding", "patch"}
"""The settings that are arguments of our own network."""


def test_the_whole_ladder_of_the_literature_is_documented() -> None:
    assert set(LADDER) == {1.5, 3.8, 11.1, 19.6, 44.2, 78.5}


@pytest.mark.parametrize("millions", sorted(LADDER))
def test_a_rung_has_about_the_parameters_that_it_is_named_by(millions: float) -> None:
    network = UNet(channels=3, classes=10, **LADDER[millions].model_dump(include=UNET))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 64, 128])
@pytest.mark.parametrize("patch", [1, 2])
def test_every_image_size_runs_forward_backward_and_with_gradients_per_example(
    channels: int, side: int, patch: int
) -> None:
    """The clipped sum of the engine, with no clip in reach, is the gradient of the sum of the losses."""
    torch.manual_seed(0)
    # The coarsest level attends, as on every rung; four levels at 128 px keep its positions few.
    levels = (1,) * {28: 2, 32: 3, 64: 4, 128: 5}[side]
    network = UNet(channels=channels, classes=2, base=4, multipliers=levels, attention=(len(levels) - 1,), patch=patch)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    images, labels = torch.rand(2, channels, side, side), torch.tensor([0, 1])
    random = PublicRows(2, torch.Generator().manual_seed(0), torch.device("cpu"))
    rows = training_inputs(NoiseLevelSettings())(images, labels, views=1, random=random)
    losses = row_losses(network, *rows)
    assert losses.shape == (2,)
    whole = torch.autograd.grad(losses.sum(), list(network.parameters()))
    engine = clipped_gradient_sum(network, row_losses, rows, views=1, clip_norm=1e9).sum
    for (name, _), expected in zip(network.named_parameters(), whole, strict=True):
        torch.testing.assert_close(engine[name].to(expected), expected, rtol=1e-3, atol=1e-4, msg=name)
