"""Convolutions and transposed convolutions in one and two dimensions as layers: padding, settings, backward."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dpgen.errors import SensitivityError
from dpgen.mechanisms.dp_sgd.convolution import Convolution
from dpgen.mechanisms.dp_sgd.leaves import Leaves, as_autocast, detached, run_function

Forward: TypeAlias = nn.Conv1d | nn.Conv2d
Transposed: TypeAlias = nn.ConvTranspose1d | nn.ConvTranspose2d


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
        probe: Tensor | None,
        settings: Convolution,
        examples: int,
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.settings, ctx.examples = settings, examples
        c = settings
        return F.conv2d(images, weight, bias, c.stride, c.padding, c.dilation, c.groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        to_input, _, _, to_weight, to_bias, to_probe, _, _ = ctx.needs_input_grad
        settings: Convolution = ctx.settings
        return (
            settings.input_gradient(gradient, images, weight) if to_input else None,
            None,
            None,
            settings.weight_gradients(gradient, images, ctx.examples) if to_weight else None,
            _bias_gradients(gradient, ctx.examples) if to_bias else None,
            gradient if to_probe else None,
            None,
            None,
        )


class _TransposedConvolution(Function):
    """The adjoint of a convolution: in its weight gradient input and output gradient change places."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
        settings: Convolution,
        output_padding: tuple[int, int],
        examples: int,
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.settings, ctx.examples = settings, examples
        c = settings
        return F.conv_transpose2d(images, weight, bias, c.stride, c.padding, output_padding, c.groups, c.dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        to_input, _, _, to_weight, to_bias, _, _, _ = ctx.needs_input_grad
        c: Convolution = ctx.settings
        height, width = images.shape[2:]
        back = F.conv2d(gradient, weight, None, c.stride, c.padding, c.dilation, c.groups) if to_input else None
        return (
            None if back is None else back[:, :, :height, :width],
            None,
            None,
            c.weight_gradients(_filled(images, gradient, c), gradient, ctx.examples) if to_weight else None,
            _bias_gradients(gradient, ctx.examples) if to_bias else None,
            None,
            None,
            None,
        )


def _filled(images: Tensor, gradient: Tensor, c: Convolution) -> Tensor:
    """`images` with zeros to the size that the convolution of `gradient` has: more where output padding >= stride."""
    height, width = (full - own for full, own in zip(c.output_shape(gradient)[2:], images.shape[2:], strict=True))
    return F.pad(images, (0, width, 0, height)) if height or width else images


def _bias_gradients(gradient: Tensor, examples: int) -> Tensor:
    return gradient.sum((2, 3)).view(examples, -1, gradient.shape[1]).sum(1)


def convolution(layer: Forward, images: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Rule of `Conv1d` and `Conv2d`: any stride, dilation, groups, padding and padding mode."""
    _require_rows(layer, images)
    before, padding = _padding(layer)
    if before is not None:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        images = F.pad(images, before, mode=mode)
    tensors, settings = _in_two_dimensions(layer, images, padding)
    leaf, probe = _leaf_or_probe(tensors[0], settings, leaves, examples)
    result = run_function(_Convolution, *tensors, leaf, leaves.bias, probe, settings, examples)
    return result.squeeze(2) if images.ndim == 3 else result


def _leaf_or_probe(
    images: Tensor, settings: Convolution, leaves: Leaves, examples: int
) -> tuple[Tensor | None, Tensor | None]:
    output = settings.output_shape(images)
    positions = output[0] * output[2] * output[3] // examples
    leaf, probe = leaves.weight, None
    if settings.replayable:
        leaf, probe = leaves.leaf_or_probe(images, output, examples, positions, settings.weight_gradients)
    return _two_dimensional(leaf), probe


def transposed_convolution(
    layer: Transposed, images: Tensor, leaves: Leaves, examples: int, output_size: list[int] | None = None
) -> Tensor:
    """Rule of `ConvTranspose1d` and `ConvTranspose2d`; `output_size` as their forward takes it."""
    _require_rows(layer, images)
    padding, axes = tuple(int(side) for side in layer.padding), images.ndim - 2
    stride, kernel, dilation = list(layer.stride), list(layer.kernel_size), list(layer.dilation)
    extra = layer._output_padding(images, output_size, stride, list(padding), kernel, axes, dilation)
    tensors, settings = _in_two_dimensions(layer, images, padding)
    leaf = _two_dimensional(leaves.weight)
    rest = (settings, _pair(tuple(extra), 0), examples)
    result = run_function(_TransposedConvolution, *tensors, leaf, leaves.bias, *rest)
    return result.squeeze(2) if axes == 1 else result


def _in_two_dimensions(
    layer: Forward | Transposed, images: Tensor, padding: tuple[int, ...]
) -> tuple[tuple[Tensor, Tensor, Tensor | None], Convolution]:
    """(images, weight, bias) and the settings; a signal is an image of height 1."""
    weight = layer.weight.detach()
    if images.ndim == 3:
        images, weight = images.unsqueeze(2), weight.unsqueeze(2)
    stride, dilation = _pair(layer.stride, 1), _pair(layer.dilation, 1)
    settings = Convolution(weight.shape, stride, _pair(padding, 0), dilation, layer.groups)
    return (
        as_autocast(images, images),
        as_autocast(images, weight),
        as_autocast(images, detached(layer.bias)),
    ), settings


def _two_dimensional(leaf: Tensor | None) -> Tensor | None:
    return leaf.unsqueeze(3) if leaf is not None and leaf.ndim == 4 else leaf


def _pair(sides: tuple[int, ...], missing: int) -> tuple[int, int]:
    return (missing, sides[0]) if len(sides) == 1 else (sides[0], sides[1])


def _require_rows(layer: Forward | Transposed, images: Tensor) -> None:
    if images.ndim != layer.weight.ndim:  # without a row axis PyTorch would take the channels for rows
        raise SensitivityError(
            f"the first axis must be the row; {type(layer).__name__} needs {layer.weight.ndim} axes; found "
            f"{list(images.shape)}. Add the row axis."
        )


def _padding(layer: Forward) -> tuple[list[int] | None, tuple[int, ...]]:
    """What to pad beforehand (as `F.pad` takes it; None: nothing), and the symmetric zeros left to the kernel."""
    nothing = (0,) * len(layer.kernel_size)
    if layer.padding == "valid":
        return None, nothing
    if layer.padding == "same":  # PyTorch pads the odd one at the end
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        sides = [(int(side), int(side)) for side in layer.padding]
    if layer.padding_mode == "zeros" and all(first == last for first, last in sides):
        return None, tuple(first for first, _ in sides)
    return [side for pair in reversed(sides) for side in pair], nothing
