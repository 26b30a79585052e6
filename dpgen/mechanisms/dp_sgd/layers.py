"""Layers that send their weight gradients to per-example leaves instead of to the shared weights.

A *leaf* is a zero-stride tensor `[examples, *weight]` that stands for the weight in the autograd graph: the layer
computes with the real, detached weight and its backward returns one gradient per example for the leaf. So autograd
adds up repeated uses of a weight before any norm is taken, and the ordinary summed weight gradient is never computed.
Rows are example-major: row `n * views + k` is view `k` of example `n`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dpgen.mechanisms.dp_sgd.convolution import Convolution

Leaves: TypeAlias = Mapping[str, Tensor | None]
"""The leaf of each of a layer's own parameters; None where the parameter is frozen or absent."""

Rule: TypeAlias = Callable[[Any, Tensor, Leaves, int], Tensor]
"""(layer, input rows, leaves, examples) -> output rows."""


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
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
        to_input, _, _, to_weight, to_bias, _, _ = ctx.needs_input_grad
        settings: Convolution = ctx.settings
        return (
            settings.input_gradient(gradient, images, weight) if to_input else None,
            None,
            None,
            settings.weight_gradients(gradient, images, ctx.examples) if to_weight else None,
            gradient.sum((2, 3)).view(ctx.examples, -1, gradient.shape[1]).sum(1) if to_bias else None,
            None,
            None,
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
        examples: int,
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.examples = examples
        return F.linear(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_input, _, _, to_weight, to_bias, _ = ctx.needs_input_grad
        by_example = gradient.reshape(ctx.examples, -1, gradient.shape[-1])
        return (
            gradient @ weight if to_input else None,
            None,
            None,
            by_example.mT @ rows.reshape(ctx.examples, -1, rows.shape[-1]) if to_weight else None,
            by_example.sum(1) if to_bias else None,
            None,
        )


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
        groups: int,
        epsilon: float,
        examples: int,
    ) -> Tensor:
        rows = rows.contiguous()  # the native kernel reads no other memory format
        count, channels = rows.shape[:2]
        positions = rows[0, 0].numel()
        result, mean, inverse_deviation = torch.ops.aten.native_group_norm(
            rows, weight, bias, count, channels, positions, groups, epsilon
        )
        ctx.save_for_backward(rows, mean, inverse_deviation, weight)
        ctx.groups, ctx.examples = groups, examples
        return result  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, mean, inverse_deviation, weight = ctx.saved_tensors
        to_input, _, _, to_weight, to_bias, _, _, _ = ctx.needs_input_grad
        count, channels = rows.shape[:2]
        # All rows as one row of count * channels channels: so the native kernel keeps each row's gradients apart.
        to_rows, scale, shift = torch.ops.aten.native_group_norm_backward(
            gradient.contiguous(),
            rows,
            mean.view(1, -1),
            inverse_deviation.view(1, -1),
            weight.repeat(count),
            1,
            count * channels,
            rows[0, 0].numel(),
            count * ctx.groups,
            (to_input, to_weight, to_bias),
        )
        to_weight, to_bias = (
            t.view(ctx.examples, -1, channels).sum(1) if wanted else None
            for t, wanted in ((scale, to_weight), (shift, to_bias))
        )
        return to_rows.view_as(rows) if to_input else None, None, None, to_weight, to_bias, None, None, None


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, indices: Tensor, weight: Tensor, leaf: Tensor | None, padding: int | None, examples: int
    ) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.table, ctx.padding, ctx.examples = weight.shape, padding, examples
        return F.embedding(indices, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (indices,) = ctx.saved_tensors
        entries, width = ctx.table
        by_example = indices.reshape(ctx.examples, -1)
        first = torch.arange(ctx.examples, device=indices.device)[:, None] * entries
        tables = gradient.new_zeros(ctx.examples * entries, width)
        tables.index_add_(0, (by_example + first).flatten(), gradient.reshape(-1, width))
        tables = tables.view(ctx.examples, entries, width)
        if ctx.padding is not None:
            tables[:, ctx.padding] = 0
        return None, None, tables, None, None


def _detached(parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else parameter.detach()


def _conv2d(layer: nn.Conv2d, images: Tensor, leaves: Leaves, examples: int) -> Tensor:
    before, padding = _padding(layer)
    if before is not None:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        images = F.pad(images, before, mode=mode)
    stride, dilation = (layer.stride[0], layer.stride[1]), (layer.dilation[0], layer.dilation[1])
    settings = Convolution(layer.weight.shape, stride, padding, dilation, layer.groups)
    weight, bias = layer.weight.detach(), _detached(layer.bias)
    result: Tensor = _Conv2d.apply(images, weight, bias, leaves["weight"], leaves["bias"], settings, examples)  # type: ignore[no-untyped-call]
    return result


def _padding(layer: nn.Conv2d) -> tuple[list[int] | None, tuple[int, int]]:
    """What to pad beforehand (left, right, top, bottom; None: nothing), and the symmetric zeros left to the kernel."""
    if layer.padding == "valid":
        return None, (0, 0)
    if layer.padding == "same":  # PyTorch pads the odd one at the end
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    else:
        top, left = int(layer.padding[0]), int(layer.padding[1])
        bottom, right = top, left
    if layer.padding_mode == "zeros" and (top, left) == (bottom, right):
        return None, (top, left)
    return [left, right, top, bottom], (0, 0)


def _linear(layer: nn.Linear, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    weight, bias = layer.weight.detach(), _detached(layer.bias)
    result: Tensor = _Linear.apply(rows, weight, bias, leaves["weight"], leaves["bias"], examples)  # type: ignore[no-untyped-call]
    return result


def _group_norm(layer: nn.GroupNorm, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    weight, bias, groups = layer.weight.detach(), layer.bias.detach(), layer.num_groups
    result: Tensor = _GroupNorm.apply(  # type: ignore[no-untyped-call]
        rows, weight, bias, leaves["weight"], leaves["bias"], groups, layer.eps, examples
    )
    return result


def _embedding(layer: nn.Embedding, indices: Tensor, leaves: Leaves, examples: int) -> Tensor:
    weight = layer.weight.detach()
    result: Tensor = _Embedding.apply(indices, weight, leaves["weight"], layer.padding_idx, examples)  # type: ignore[no-untyped-call]
    return result


RULES: Final[Mapping[type[nn.Module], Rule]] = {
    nn.Conv2d: _conv2d,
    nn.Linear: _linear,
    nn.GroupNorm: _group_norm,
    nn.Embedding: _embedding,
}
"""The layer types with a per-example gradient; any other trainable parameter is refused by `check_module`."""


def rule_for(layer: nn.Module) -> Rule | None:
    """The rule of `layer`, or None: a subclass with its own `forward` computes something else and has no rule."""
    if "forward" in vars(layer):
        return None
    return next((rule for kind, rule in RULES.items() if type(layer) is kind), None)
