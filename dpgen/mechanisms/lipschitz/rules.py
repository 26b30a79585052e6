"""The whitelist: for each layer type what it does to distances. What is not here has no bound and is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from dpgen.errors import SensitivityError
from dpgen.mechanisms.lipschitz.growth import ROUNDOFF, Growth
from dpgen.mechanisms.lipschitz.layers import (
    AolConv2d,
    AolLinear,
    BallProjection,
    Centre,
    GroupSort,
    Scale,
)
from dpgen.mechanisms.lipschitz.norms import absolute_norm, convolution_norm, matrix_norm, patch_norm, torus_norm

Size: TypeAlias = tuple[int, ...]
Rule: TypeAlias = Callable[[Any, Size, Size], Growth]
"""(layer in float64, shape of one input, shape of one output) -> its `Growth` with offset 0: `certify` adds |f(0)|."""


def affine(lipschitz: float, absolute: float, terms: int, bias: Tensor | None) -> Growth:
    """A linear map whose entries are sums of `terms` products and a bias: |error| <= gamma_(terms + 1) (|W| |x| + |b|).

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1; any order of summation,
    also with the bias first.
    """
    gamma = (terms + 2) * ROUNDOFF / (1 - (terms + 2) * ROUNDOFF)
    size = 0.0 if bias is None else float(torch.linalg.vector_norm(bias))
    return Growth(lipschitz, 0.0, gamma * absolute, gamma * size)


def _linear(layer: nn.Linear, shape: Size, out: Size) -> Growth:
    _require(len(shape) == 1, layer, "rows [n, features]", f"features of {len(shape)} axes", "Put nn.Flatten before it")
    weight = layer.weight
    return affine(matrix_norm(weight), absolute_norm(weight), weight.shape[1], layer.bias)


def _convolution(layer: nn.Conv2d, shape: Size, out: Size) -> Growth:
    weight, dilation = layer.weight, _two(layer.dilation)
    image = (shape[1], shape[2])
    if layer.padding_mode == "circular":
        fits = all(p == "same" or 2 * p == (k - 1) * d for p, k, d in _paddings(layer))
        big = all((k - 1) * d < n for n, (_, k, d) in zip(image, _paddings(layer), strict=True))
        _require(
            fits and big, layer, "circular padding that keeps the sides", "another one", "Use padding_mode='zeros'"
        )
        bound = torus_norm(weight, image, groups=layer.groups, dilation=dilation)
    else:
        mode = layer.padding_mode
        _require(mode == "zeros", layer, "zero or circular padding", f"{mode!r}, which repeats pixels", "Use zeros")
        bound = convolution_norm(weight, image, groups=layer.groups, dilation=dilation)
    if layer.groups == 1 and dilation == (1, 1) and layer.padding_mode == "zeros":
        bound = min(bound, patch_norm(weight, _two(layer.stride)))
    return affine(bound, _absolute(weight, layer.groups), math.prod(weight.shape[1:]), layer.bias)


def _transposed(layer: nn.ConvTranspose2d, shape: Size, out: Size) -> Growth:
    """The adjoint of the convolution from `out` to `shape` with the same weight: the same norm."""
    weight, dilation = layer.weight, _two(layer.dilation)
    bound = convolution_norm(weight, (out[1], out[2]), groups=layer.groups, dilation=dilation)
    if layer.groups == 1 and dilation == (1, 1):
        bound = min(bound, patch_norm(weight, _two(layer.stride)))
    terms = weight.shape[0] * math.prod(weight.shape[2:])
    return affine(bound, _absolute(weight, layer.groups), terms, layer.bias)


def _aol_linear(layer: AolLinear, shape: Size, out: Size) -> Growth:
    """Its weight in force is measured like any other: the theorem is not relied on. Computing it rounds, too."""
    weight = layer.bounded_weight()
    return affine(matrix_norm(weight), absolute_norm(weight), weight.shape[0] + 2 * weight.shape[1], layer.bias)


def _aol_convolution(layer: AolConv2d, shape: Size, out: Size) -> Growth:
    weight = layer.bounded_weight()
    bound = convolution_norm(weight, (shape[1], shape[2]), groups=1, dilation=(1, 1))
    bound = min(bound, patch_norm(weight, (layer.stride, layer.stride)))
    terms = 4 * math.prod(weight.shape[1:]) + math.prod(weight.shape[::2]) * weight.shape[3] * 4
    return affine(bound, absolute_norm(weight), terms, layer.bias)


def _average(layer: nn.AvgPool2d, shape: Size, out: Size) -> Growth:
    """A convolution with one kernel of 1 / k^2 for each channel: `patch_norm` of it."""
    kernel, stride, padding = _two(layer.kernel_size), _two(layer.stride), _two(layer.padding)
    plain = not layer.ceil_mode and layer.divisor_override is None and (padding == (0, 0) or layer.count_include_pad)
    _require(plain, layer, "cells of equal weight", "another kind", "Leave ceil_mode and divisor_override alone")
    overlaps = math.prod(math.ceil(k / s) for k, s in zip(kernel, stride, strict=True))
    bound = math.sqrt(overlaps / math.prod(kernel))
    return affine(bound, bound, math.prod(kernel), None)


def _adaptive_average(layer: nn.AdaptiveAvgPool2d, shape: Size, out: Size) -> Growth:
    _require(out[1:] == (1, 1), layer, "output size 1", f"{out[1]} x {out[2]}", "Use nn.AvgPool2d")
    bound = 1 / math.sqrt(shape[1] * shape[2])
    return affine(bound, bound, shape[1] * shape[2], None)


def _maximum(layer: nn.MaxPool2d, shape: Size, out: Size) -> Growth:
    """|max a - max b| <= max |a - b|, and a pixel lies in at most ceil(k / s) windows a side."""
    plain = _two(layer.dilation) == (1, 1) and not layer.return_indices
    _require(plain, layer, "plain windows", "dilation or return_indices", "Leave both alone")
    kernel, stride = _two(layer.kernel_size), _two(layer.stride)
    return Growth(math.sqrt(math.prod(math.ceil(k / s) for k, s in zip(kernel, stride, strict=True))))


def _upsample(layer: nn.Upsample, shape: Size, out: Size) -> Growth:
    """Each pixel of the output is one of the input: the norm is the root of how often the most copied one comes.

    That is counted: where `scale_factor` is not whole, pixels are copied unevenly even if the sides divide.
    """
    whole = all(big % small == 0 for big, small in zip(out[1:], shape[1:], strict=True))
    _require(layer.mode == "nearest" and whole, layer, "mode='nearest' by a whole factor", "another", "Use that one")
    places = torch.arange(math.prod(shape[1:]), dtype=torch.float64).view(1, 1, *shape[1:])
    return Growth(math.sqrt(int(layer(places).long().flatten().bincount().max())))


def _elementwise(lipschitz: float) -> Rule:
    """A function of each entry, computed to within a few units in the last place of its value and its argument."""
    return lambda layer, shape, out: Growth(lipschitz, 0.0, 16 * ROUNDOFF * max(1.0, lipschitz), 0.0)


def _sigmoid(layer: nn.Sigmoid, shape: Size, out: Size) -> Growth:
    """Its values lie around 1/2, and are rounded as such however small the argument is."""
    return Growth(0.25, 0.0, 16 * ROUNDOFF, 16 * ROUNDOFF * math.sqrt(math.prod(shape)))


def _isometry(layer: nn.Module, shape: Size, out: Size) -> Growth:
    """Entries are moved, sorted or compared; none is computed."""
    return Growth(1.0)


def _whole_row(layer: nn.Module, shape: Size, out: Size) -> Growth:
    """1-Lipschitz, with a sum over the whole row in it."""
    gamma = (math.prod(shape) + 8) * ROUNDOFF
    return Growth(1.0, 0.0, 2 * gamma, 0.0)


def _softmax(layer: nn.Softmax, shape: Size, out: Size) -> Growth:
    """Its Jacobian diag(p) - p p^T has norm at most 1/2; 1 is stated."""
    of_a_row = layer.dim is not None and layer.dim % (len(shape) + 1) != 0
    _require(of_a_row, layer, "an axis of the row", "the axis of the rows, or none", "Set dim=1 or dim=-1")
    return Growth(1.0, 0.0, 16 * ROUNDOFF, 16 * ROUNDOFF * math.sqrt(math.prod(shape)))


RULES: Final[Mapping[type[nn.Module], Rule]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed,
    AolLinear: _aol_linear,
    AolConv2d: _aol_convolution,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool2d: _adaptive_average,
    nn.MaxPool2d: _maximum,
    nn.Upsample: _upsample,
    **dict.fromkeys(
        (nn.Identity, nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ZeroPad2d, nn.Dropout),
        _isometry,
    ),
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh, GroupSort), _isometry),
    nn.Tanh: _elementwise(1.0),
    nn.Sigmoid: _sigmoid,
    nn.SiLU: _elementwise(1.09984),  # the largest derivative: 1.0998393
    nn.GELU: _elementwise(1.12901),  # 1.1289042, in the tanh form 1.1290043
    nn.LeakyReLU: lambda layer, shape, out: Growth(max(1.0, abs(layer.negative_slope)), 0.0, 4 * ROUNDOFF, 0.0),
    nn.Softmax: _softmax,
    Centre: _whole_row,
    BallProjection: _whole_row,
    Scale: lambda layer, shape, out: Growth(layer.factor * (1 + 4 * ROUNDOFF), 0.0, 2 * ROUNDOFF * layer.factor, 0.0),
}
"""By exact type: a subclass may compute something else."""


def _require(condition: bool, layer: nn.Module, expected: str, found: str, mend: str) -> None:
    if not condition:
        raise SensitivityError(
            f"to be certified {type(layer).__name__} needs {expected}; found {found}. {mend}, or clip the code instead."
        )


def _two(setting: Any) -> tuple[int, int]:
    return (setting, setting) if isinstance(setting, int) else (setting[0], setting[1])


def _paddings(layer: nn.Conv2d) -> list[tuple[Any, int, int]]:
    padding = (layer.padding,) * 2 if isinstance(layer.padding, str) else _two(layer.padding)
    return list(zip(padding, layer.kernel_size, _two(layer.dilation), strict=True))


def _absolute(weight: Tensor, groups: int) -> float:
    """Of a grouped kernel the largest over the groups, each of which is a map of its own channels."""
    return max(absolute_norm(part) for part in weight.chunk(groups))
