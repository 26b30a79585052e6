"""The networks, how many rows a step computes, and the loss: the same for every route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dpgen.networks.unet import UNet

Rows = tuple[Tensor, Tensor, Tensor]
"""Images, noise levels and labels, example-major."""

VIEWS = (1, 4, 8, 16, 32)
CLIP_NORM = 1e-3
"""Of the benchmark platform: far below every norm, so that each example is really scaled."""
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A network and how many rows one step computes."""

    name: str
    side: int
    channels: int
    rows: int
    settings: Mapping[str, Any] = field(hash=False)

    def network(self) -> nn.Module:
        """The network, with public weights."""
        torch.manual_seed(0)
        network = UNet(channels=self.channels, classes=CLASSES, **self.settings)
        with torch.no_grad():  # a fresh network has zero layers, and zeros may be faster than numbers
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return network

    def inputs(self, rows: int | None = None) -> Rows:
        """Made-up rows."""
        generator, count = torch.Generator().manual_seed(1), self.rows if rows is None else rows
        images = torch.randn(count, self.channels, self.side, self.side, generator=generator)
        return images, torch.randn(count, generator=generator), torch.arange(count) % CLASSES


PAPER = Case(
    "28 px grey, base 32",
    side=28,
    channels=1,
    rows=64,
    settings={"base": 32, "multipliers": (2, 2), "blocks": 2, "attention": (1,)},
)
"""Nearest that our U-Net comes to the network of the benchmark platform's MNIST and Fashion-MNIST rows: an NCSN++ of
1.5M parameters with base 32, multipliers (2, 2), two blocks a level, attention at the coarse one. Ours has 1.6M."""
COLOUR = Case(
    "32 px RGB, base 64", side=32, channels=3, rows=64, settings={"base": 64, "multipliers": (1, 2, 2), "blocks": 1}
)
PRESET = Case(
    "MNIST preset: 28 px, patches of 2, base 16",
    side=28,
    channels=1,
    rows=128,
    settings={"base": 16, "multipliers": (1, 2), "embedding": 2, "patch": 2},
)
"""The network of benchmarks/configs/mnist_*.toml."""
DEMO = Case(
    "demo: 8 px, base 16", side=8, channels=1, rows=128, settings={"base": 16, "multipliers": (1, 2), "embedding": 2}
)
"""The network of `dpgen demo`, whose step is so short that calls weigh as much as numbers."""
LARGE = Case(
    "32 px RGB, base 128",
    side=32,
    channels=3,
    rows=256,
    settings={"base": 128, "multipliers": (2, 2, 2), "blocks": 4, "attention": (1,)},
)
"""61M parameters, for a GPU."""

CASES = (DEMO, PRESET, PAPER, COLOUR)
"""The short ones first: a run that is cut short has them."""
GPU_CASES = (PAPER, COLOUR, LARGE)
SMALLEST = Case("tiny: 4 px, base 4", side=4, channels=1, rows=8, settings={"base": 4, "multipliers": (1, 2)})
"""For a smoke run: what it measures means nothing."""
CASES_BY_NAME = {case.name: case for case in (*CASES, LARGE, SMALLEST)}


def row_losses(network: nn.Module, images: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
    """One squared error a row."""
    return (network(images, levels, labels) - images).square().flatten(1).mean(1)
