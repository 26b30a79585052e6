"""Residual classifiers for small images: ResNet, Wide ResNet and ResNeXt in the sizes of DPImageBench."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.networks.classifier_base import Classifier

Block = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) -> a residual block."""


@final
class ResidualClassifier(Classifier):
    """A 3 x 3 stem, three stages that halve the side twice, and an average over all places.

    Args: `widths` channels of the stem and of the three stages; `blocks` in each stage; `generator` of the initial
    weights, public: equal generators give equal weights.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        widths: tuple[int, int, int, int],
        blocks: int,
        block: Block,
        generator: torch.Generator,
    ) -> None:
        validate.count(1, channels=channels, classes=classes, blocks=blocks)
        super().__init__()
        self.channels, self.classes = channels, classes
        with torch.random.fork_rng(devices=[]):  # torch draws weights that are overwritten below
            layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)]
            for stage, (inputs, outputs) in enumerate(pairwise(widths)):
                layers.append(block(inputs, outputs, 1 if stage == 0 else 2))
                layers += [block(outputs, outputs, 1) for _ in range(blocks - 1)]
            self.body = nn.Sequential(*layers, nn.BatchNorm2d(widths[3]), nn.ReLU())
            self.head = nn.Linear(widths[3], classes)
        _initialise(self, generator)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees, `[n, widths[3]]`, all >= 0."""
        maps: Tensor = self.body(2 * images - 1)
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[n, classes]`."""
        logits: Tensor = self.head(self.features(images))
        return logits


@final
class PreActivation(nn.Module):
    """Norm and ReLU before each convolution, the input added at the end: He et al. 2016 (arXiv 1603.05027), fig. 4e.

    Args: `layers` (channels out, kernel, groups) of each convolution; the one that strides is the first of kernel 3.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, layers: Callable[[int], list[tuple[int, int, int]]]):
        super().__init__()
        steps, before, pending = [], inputs, stride
        for channels, kernel, groups in layers(outputs):
            here = pending if kernel == 3 else 1
            pending = 1 if kernel == 3 else pending
            convolution = nn.Conv2d(before, channels, kernel, here, kernel // 2, groups=groups, bias=False)
            steps.append(nn.Sequential(nn.BatchNorm2d(before), nn.ReLU(), convolution))
            before = channels
        self.steps = nn.Sequential(*steps)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[n, outputs, height / stride, width / stride]`."""
        changed: Tensor = self.steps(maps)
        kept: Tensor = self.shortcut(maps)
        return changed + kept


def _plain(outputs: int) -> list[tuple[int, int, int]]:
    return [(outputs, 3, 1), (outputs, 3, 1)]


def _bottleneck(outputs: int) -> list[tuple[int, int, int]]:
    return [(outputs // 4, 1, 1), (outputs // 4, 3, 1), (outputs, 1, 1)]


def _grouped(outputs: int, *, cardinality: int, widen: int) -> list[tuple[int, int, int]]:
    inner = cardinality * outputs // widen  # Xie et al. 2017 (arXiv 1611.05431), section 5.3
    return [(inner, 1, 1), (inner, 3, cardinality), (outputs, 1, 1)]


def resnet(channels: int, classes: int, *, depth: int, generator: torch.Generator) -> ResidualClassifier:
    """ResNet-`depth`: plain blocks for 6n + 2 layers, bottlenecks for 9n + 2 from 164 on. Source: He et al. 2016."""
    deep = depth >= 164
    widths = (16, 64, 128, 256) if deep else (16, 16, 32, 64)
    block = partial(PreActivation, layers=_bottleneck if deep else _plain)
    blocks = (depth - 2) // (9 if deep else 6)
    return ResidualClassifier(channels, classes, widths=widths, blocks=blocks, block=block, generator=generator)


def wide_resnet(
    channels: int, classes: int, *, depth: int, widen: int, generator: torch.Generator
) -> ResidualClassifier:
    """WRN-`depth`-`widen`. Source: Zagoruyko and Komodakis 2016 (arXiv 1605.07146), table 1; without dropout."""
    widths = (16, 16 * widen, 32 * widen, 64 * widen)
    block = partial(PreActivation, layers=_plain)
    return ResidualClassifier(
        channels, classes, widths=widths, blocks=(depth - 4) // 6, block=block, generator=generator
    )


def resnext(channels: int, classes: int, *, depth: int, widen: int, generator: torch.Generator) -> ResidualClassifier:
    """ResNeXt-`depth` of cardinality 8, stages of 64, 128 and 256 times `widen` channels. Source: Xie et al. 2017."""
    widths = (64, 64 * widen, 128 * widen, 256 * widen)
    block = partial(PreActivation, layers=partial(_grouped, cardinality=8, widen=widen))
    return ResidualClassifier(
        channels, classes, widths=widths, blocks=(depth - 2) // 9, block=block, generator=generator
    )


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Kaiming normal convolutions (He et al. 2015, eq. 10) and a small head; batch norm starts as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
            nn.init.zeros_(module.bias)
