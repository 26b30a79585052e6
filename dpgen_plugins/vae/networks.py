"""A class-conditional convolutional VAE in which every image is computed alone, so that DP-SGD may train it."""

from __future__ import annotations

from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen_plugins.vae.settings import VaeSettings

_GROUPS: Final = 4
_LOG_VARIANCE: Final = 8.0
"""Largest size of the logarithm of a code's variance: exp() of more serves nobody and overflows under noise."""


@final
class Encoder(nn.Module):
    """From an image and its class to the mean and log variance of its code."""

    def __init__(self, shape: Shape, classes: int, settings: VaeSettings) -> None:
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = []
        channels = shape.channels
        for level in range(settings.halvings):
            wide = settings.width << level
            layers += [nn.Conv2d(channels, wide, 5, stride=2, padding=2), nn.GroupNorm(_GROUPS, wide), nn.SiLU()]
            channels = wide
        self.maps = nn.Sequential(*layers)
        size = channels * (shape.height >> settings.halvings) * (shape.width >> settings.halvings)
        self.code = nn.Linear(size + classes, 2 * settings.latent)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance `[n, latent]` each, of images `[n, c, h, w]` in [0, 1] and labels `[n]`."""
        features = self.maps(2 * images - 1).flatten(1)
        mean, log_variance = self.code(torch.cat((features, _one_hot(labels, self.classes)), 1)).chunk(2, 1)
        return mean, _LOG_VARIANCE * torch.tanh(log_variance / _LOG_VARIANCE)


@final
class Decoder(nn.Module):
    """From a code and a class to the parameters of each pixel's likelihood."""

    def __init__(self, shape: Shape, classes: int, settings: VaeSettings) -> None:
        super().__init__()
        self.classes, self.channels = classes, shape.channels
        wide = settings.width << (settings.halvings - 1)
        self.first = (wide, shape.height >> settings.halvings, shape.width >> settings.halvings)
        self.spread = nn.Linear(settings.latent + classes, self.first[0] * self.first[1] * self.first[2])
        self.start = nn.GroupNorm(_GROUPS, wide)
        self.blocks = nn.ModuleList()
        for level in range(settings.halvings - 1, -1, -1):
            narrow = settings.width << max(0, level - 1)
            block = nn.Sequential(nn.Conv2d(wide, narrow, 5, padding=2), nn.GroupNorm(_GROUPS, narrow), nn.SiLU())
            self.blocks.append(block)
            wide = narrow
        numbers = 2 if settings.likelihood == "logistic" else 1
        self.head = nn.Conv2d(wide, numbers * shape.channels, 3, padding=1)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """`[n, c, h, w]` logits of the pixels, or `[n, 2 c, h, w]`: their logistic means and log scales."""
        spread = self.spread(torch.cat((codes, _one_hot(labels, self.classes)), 1))
        maps = F.silu(self.start(spread.reshape(-1, *self.first)))
        for block in self.blocks:
            maps = block(F.interpolate(maps, scale_factor=2))
        pixels: Tensor = self.head(maps)
        return pixels

    def images(self, codes: Tensor, labels: Tensor) -> Tensor:
        """The mean image of each code, in [0, 1]."""
        return torch.sigmoid(self(codes, labels)[:, : self.channels])


@final
class Vae(nn.Module):
    """Encoder and decoder."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


def fresh_vae(settings: VaeSettings, info: DatasetInfo, *, seed: int) -> Vae:
    """A VAE with public initial weights drawn from `seed`.

    Raises: `InvalidValue` when the sides of an image do not divide as often as the network halves them.
    """
    multiple = 2**settings.halvings
    if info.shape.height % multiple or info.shape.width % multiple:
        raise InvalidValue(
            f"this network needs sides that divide by {multiple}; found {info.shape.height} x {info.shape.width}. "
            "Change `data.size`, or use fewer `vae.halvings`."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Vae(Encoder(info.shape, info.classes, settings), Decoder(info.shape, info.classes, settings))


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).float()
