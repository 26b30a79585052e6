"""A small convolutional generator: random numbers and a class in, an image out."""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen import validate
from dpgen.networks.upsampled_convolution import UpsampledConvolution

_SMALLEST = 7
"""The first map is halved from the image for as long as its shorter side stays at least this."""


@final
class ImageGenerator(nn.Module):
    """A linear layer to a small map, then upsampling by two and convolving up to the size of the image.

    Built of batch norm, so it has no place in DP-SGD: train it on what was released already.

    Args: `shape` channels, height and width of the images; `classes` >= 1; `latent` random inputs; `width` channels
    of the last hidden map, doubled at each smaller one; `generator` of the initial weights, public.
    Source: the generator of DP-MERF (arXiv 2002.11603), with as many upsampling steps as the size allows.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, latent: int, width: int, generator: torch.Generator
    ) -> None:
        channels, height, width_px = shape
        validate.count(1, channels=channels, classes=classes, latent=latent, width=width)
        super().__init__()
        self.classes, self.latent = classes, latent
        doublings = _doublings(height, width_px)
        self.first = (width * 2**doublings, height >> doublings, width_px >> doublings)
        with torch.random.fork_rng(devices=[]):  # torch draws weights that are overwritten below
            self.spread = nn.Linear(latent + classes, self.first[0] * self.first[1] * self.first[2])
            self.start = nn.BatchNorm2d(self.first[0])
            self.blocks = nn.ModuleList(_block(width << left) for left in range(doublings, 0, -1))
            self.head = nn.Conv2d(width, channels, 5, padding=2)
        _initialise(self, generator)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images `[n, *shape]` in [0, 1] from standard normal `noise [n, latent]` and int64 `labels [n]`."""
        inputs = torch.cat((noise, F.one_hot(labels, self.classes).to(noise)), 1)
        maps = F.relu(self.start(self.spread(inputs).reshape(-1, *self.first)))
        for block in self.blocks:
            maps = block(maps)
        return torch.sigmoid(self.head(maps))


def _doublings(height: int, width: int) -> int:
    count = 0
    while not (height % 2 or width % 2) and min(height, width) // 2 >= _SMALLEST:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _block(channels: int) -> nn.Sequential:
    half = channels // 2
    return nn.Sequential(UpsampledConvolution(channels, half), nn.BatchNorm2d(half), nn.ReLU())


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Kaiming normal weights (He et al. 2015, eq. 10), no biases; batch norm starts as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
