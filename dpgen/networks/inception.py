"""The Inception network of the FID: its graph as TensorFlow ran it in 2015. Its weights never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional

_SIDE: Final = 299
_CLASSES: Final = 1008
"""Outputs of the graph of 2015: the 1000 classes of ImageNet and eight that were never used."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution without bias, a normalisation with fixed statistics, a ReLU; unpadded where it halves the side."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True

    @property
    def padding(self) -> tuple[int, int]:
        """That keeps the side, or none."""
        return (self.kernel[0] // 2, self.kernel[1] // 2) if self.padded and self.stride == 1 else (0, 0)


_Step = tuple[_Layer, ...]
"""One layer, or two that read the same maps and whose outputs are joined."""
_Branch = tuple[_Step, ...]

_STEM: Final = (
    _Layer("Conv2d_1a_3x3", 32, (3, 3), stride=2),
    _Layer("Conv2d_2a_3x3", 32, (3, 3), padded=False),
    _Layer("Conv2d_2b_3x3", 64, (3, 3)),
    None,  # max pooling
    _Layer("Conv2d_3b_1x1", 80),
    _Layer("Conv2d_4a_3x3", 192, (3, 3), padded=False),
    None,
)


def _chain(prefix: str, *layers: tuple[int, tuple[int, int]], last_stride: int = 1) -> _Branch:
    """A branch of layers named `prefix`_1, `prefix`_2, ..., given by outputs and kernel."""
    last = len(layers)
    return tuple(
        (_Layer(f"{prefix}_{at}", outputs, kernel, stride=last_stride if at == last else 1),)
        for at, (outputs, kernel) in enumerate(layers, start=1)
    )


def _fork(prefix: str, place: str, outputs: int) -> _Step:
    """Two layers side by side: one along rows, one along columns."""
    return _Layer(f"{prefix}_{place}a", outputs, (1, 3)), _Layer(f"{prefix}_{place}b", outputs, (3, 1))


_ONE, _THREE, _FIVE, _ROW, _COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def _single(name: str, outputs: int, kernel: tuple[int, int] = _ONE, stride: int = 1) -> _Branch:
    return ((_Layer(name, outputs, kernel, stride),),)


def _fine() -> tuple[_Branch, ...]:
    """Szegedy et al. 2016 (arXiv 1512.00567), figure 5: on 35 x 35 maps."""
    doubled = _chain("branch3x3dbl", (64, _ONE), (96, _THREE), (96, _THREE))
    return _single("branch1x1", 64), _chain("branch5x5", (48, _ONE), (64, _FIVE)), doubled


def _middle(width: int) -> tuple[_Branch, ...]:
    """Figure 6: 7 x 7 in two steps, on 17 x 17 maps."""
    single = _chain("branch7x7", (width, _ONE), (width, _ROW), (192, _COLUMN))
    steps = ((width, _ONE), (width, _COLUMN), (width, _ROW), (width, _COLUMN), (192, _ROW))
    return _single("branch1x1", 192), single, _chain("branch7x7dbl", *steps)


def _coarse() -> tuple[_Branch, ...]:
    """Figure 7: forks, on 8 x 8 maps."""
    single = (*_chain("branch3x3", (384, _ONE)), _fork("branch3x3", "2", 384))
    doubled = (*_chain("branch3x3dbl", (448, _ONE), (384, _THREE)), _fork("branch3x3dbl", "3", 384))
    return _single("branch1x1", 320), single, doubled


_HALVE_FINE: Final = (
    _single("branch3x3", 384, _THREE, stride=2),
    _chain("branch3x3dbl", (64, _ONE), (96, _THREE), (96, _THREE), last_stride=2),
)
_HALVE_MIDDLE: Final = (
    _chain("branch3x3", (192, _ONE), (320, _THREE), last_stride=2),
    _chain("branch7x7x3", (192, _ONE), (192, _ROW), (192, _COLUMN), (192, _THREE), last_stride=2),
)


@final
class InceptionFid(nn.Module):
    """Features `[n, 2048]` and scores of 1008 classes; state-dict names are those of pytorch-fid and torch-fidelity.

    Three places differ from other Inception v3 networks, and the FID depends on them: an average over a padded
    neighbourhood leaves the padding out, the last block takes a maximum where the paper has an average, and images
    are resized as TensorFlow 1 did, without half-pixel centres.
    """

    feature_size: Final = 2048

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for layer in filter(None, _STEM):
            self.add_module(layer.name, _Convolution(inputs, layer))
            inputs = layer.outputs
        blocks = (
            ("Mixed_5b", _fine(), 32, "average"),
            ("Mixed_5c", _fine(), 64, "average"),
            ("Mixed_5d", _fine(), 64, "average"),
            ("Mixed_6a", _HALVE_FINE, 0, "halve"),
            ("Mixed_6b", _middle(128), 192, "average"),
            ("Mixed_6c", _middle(160), 192, "average"),
            ("Mixed_6d", _middle(160), 192, "average"),
            ("Mixed_6e", _middle(192), 192, "average"),
            ("Mixed_7a", _HALVE_MIDDLE, 0, "halve"),
            ("Mixed_7b", _coarse(), 192, "average"),
            ("Mixed_7c", _coarse(), 192, "maximum"),
        )
        for name, branches, pooled, kind in blocks:
            block = _Mixed(inputs, branches, pooled, kind)
            self.add_module(name, block)
            inputs = block.outputs
        self._blocks = tuple(name for name, *_ in blocks)
        self.fc = nn.Linear(self.feature_size, _CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer sees of 8-bit images `[n, 1 or 3, height, width]`, uint8 or float in [0, 255]."""
        maps = (resize_like_tensorflow(images.float().expand(-1, 3, -1, -1), _SIDE) - 128) / 128
        for layer in _STEM:
            maps = functional.max_pool2d(maps, 3, 2) if layer is None else self.get_submodule(layer.name)(maps)
        for name in self._blocks:
            maps = self.get_submodule(name)(maps)
        return maps.mean((2, 3))

    def scores(self, features: Tensor) -> Tensor:
        """Scores `[n, 1008]` before the softmax, without the bias of the layer, as published Inception Scores are."""
        return features @ self.fc.weight.T

    def forward(self, images: Tensor) -> Tensor:
        """`scores` of images as `features` takes them."""
        return self.scores(self.features(images))


@final
class _Mixed(nn.Module):
    """Branches over the same maps and a pooled one, joined; `kind` is how it pools: average, maximum or halve."""

    def __init__(self, inputs: int, branches: Sequence[_Branch], pooled: int, kind: str) -> None:
        super().__init__()
        self._branches = [[[layer.name for layer in step] for step in branch] for branch in branches]
        self._kind, self.outputs = kind, pooled or inputs
        for branch in branches:
            width = inputs
            for step in branch:
                for layer in step:
                    self.add_module(layer.name, _Convolution(width, layer))
                width = sum(layer.outputs for layer in step)
            self.outputs += width
        if pooled:
            self.branch_pool = _Convolution(inputs, _Layer("branch_pool", pooled))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[n, outputs, ...]`, of half the side where the block halves it."""
        joined = []
        for branch in self._branches:
            found = maps
            for step in branch:
                found = torch.cat([self.get_submodule(name)(found) for name in step], dim=1)
            joined.append(found)
        return torch.cat([*joined, self._pooled(maps)], dim=1)

    def _pooled(self, maps: Tensor) -> Tensor:
        if self._kind == "halve":
            return functional.max_pool2d(maps, 3, stride=2)
        if self._kind == "maximum":
            near = functional.max_pool2d(maps, 3, stride=1, padding=1)
        else:
            near = functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
        found: Tensor = self.branch_pool(near)
        return found


@final
class _Convolution(nn.Module):
    """What a `_Layer` says."""

    def __init__(self, inputs: int, layer: _Layer) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, layer.outputs, layer.kernel, stride=layer.stride, padding=layer.padding, bias=False
        )
        self.bn = nn.BatchNorm2d(layer.outputs, eps=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[n, outputs, ...]`, none below 0."""
        return functional.relu(self.bn(self.conv(maps)))


def resize_like_tensorflow(images: Tensor, side: int) -> Tensor:
    """Bilinear resize of `[n, channels, height, width]` to `side` as `tf.image.resize_bilinear` of TensorFlow 1 did it.

    Output pixel i stands at i * size / side of the input: no half-pixel centres, and no smoothing on the way down.
    """
    for axis in (2, 3):
        size = images.shape[axis]
        places = torch.arange(side, dtype=torch.float32, device=images.device) * (size / side)
        low = places.long().clamp(max=size - 1)
        share = (places - low).reshape((-1, 1) if axis == 2 else (-1,))
        first, second = images.index_select(axis, low), images.index_select(axis, (low + 1).clamp(max=size - 1))
        images = first + (second - first) * share
    return images


@torch.no_grad()
def load_inception_fid(weights: dict[str, Tensor]) -> InceptionFid:
    """The network in evaluation mode with these weights, by state-dict name.

    Raises: `RuntimeError` of torch, naming what is missing, unexpected or of another shape.
    """
    with torch.device("meta"):  # 24 million weights that are not drawn in vain
        network = InceptionFid()
    counters = {name: torch.zeros((), dtype=torch.int64) for name in network.state_dict() if name.endswith("_tracked")}
    given = {name: value.float() for name, value in weights.items() if name not in counters}
    network.load_state_dict(counters | given, assign=True)
    return network.requires_grad_(False).eval()
