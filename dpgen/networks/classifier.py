"""A small convolutional classifier for images of 8 to 64 pixels."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpgen import validate
from dpgen.networks.classifier_base import Classifier

_SMALLEST = 4
"""No pooling below this side: at 4 x 4 the last convolutions see the whole image and still know where things are."""
_EXTRA_POOLING = 48
"""From this side on the stem pools twice, so that a 64 px image costs little more than a 32 px one."""


@final
class ImageClassifier(Classifier):
    """Convolution, batch norm, ReLU, three times two, with pooling fitted to the size of the input.

    The weights do not depend on the image size: pooling stops at 4 pixels, and the last map is averaged and maximised
    over all places. Train it on public or synthetic images only: batch norm mixes the records of a batch, so it has
    no per-example gradient and no place in DP-SGD.

    Args: `channels` 1 or 3; `classes` >= 1; `width` channels of the first convolution; `generator` of the initial
    weights, public: equal generators give equal weights, and without one they come from a fixed seed. Nothing here
    relies on torch's global generator (so there is no dropout, which would).
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int = 24,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        validate.count(1, channels=channels, classes=classes, width=width)
        super().__init__()
        self.channels, self.classes = channels, classes
        with torch.random.fork_rng(devices=[]):  # torch draws weights that are overwritten below
            self.stem = _block(channels, width)
            self.middle = nn.Sequential(_block(width, 2 * width), _block(2 * width, 2 * width))
            self.deep = nn.Sequential(_block(2 * width, 4 * width), _block(4 * width, 4 * width))
            self.head = nn.Linear(8 * width, classes)
        _initialise(self, generator or torch.Generator().manual_seed(0))

    @property
    def feature_size(self) -> int:
        """Numbers per image that `features` returns."""
        return self.head.in_features

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees, `[n, feature_size]`, all >= 0; the space that metrics measure in.

        Args: `images` float `[n, channels, height, width]` in [0, 1].
        """
        maps: Tensor = self.stem(2 * images - 1)
        maps = _pool(maps)
        if images.shape[-1] >= _EXTRA_POOLING:
            maps = _pool(maps)
        maps = self.deep(_pool(self.middle(maps)))
        return torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[n, classes]` of float images `[n, channels, height, width]` in [0, 1]."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def to_json(self) -> dict[str, Any]:
        """The arguments that build the same architecture again."""
        width = self.stem[0].out_channels
        return {"channels": self.channels, "classes": self.classes, "width": width}


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def _pool(maps: Tensor) -> Tensor:
    return functional.max_pool2d(maps, 2) if min(maps.shape[2:]) >= 2 * _SMALLEST else maps


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Kaiming normal convolutions (He et al. 2015, eq. 10) and a small head; batch norm starts as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
            nn.init.zeros_(module.bias)
