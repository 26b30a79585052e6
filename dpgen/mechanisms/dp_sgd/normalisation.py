"""Normalisation over each row alone: the statistics by the library, scale and shift with per-example leaves."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dpgen.errors import SensitivityError
from dpgen.mechanisms.dp_sgd.leaves import Leaves, as_autocast, run_function

InstanceNorm: TypeAlias = nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d


class _GroupNorm(Function):
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


def group_norm(layer: nn.GroupNorm, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Under autocast in float32, as on CUDA: statistics of thousands of positions need it."""
    rows = as_autocast(rows, rows, torch.float32)
    weight, bias = (as_autocast(rows, p.detach(), torch.float32) for p in (layer.weight, layer.bias))
    settings = (layer.num_groups, layer.eps, examples)
    return run_function(_GroupNorm, rows, weight, bias, leaves.weight, leaves.bias, *settings)


def layer_norm(layer: nn.LayerNorm, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Rule of `LayerNorm`."""
    rows = as_autocast(rows, rows, torch.float32)
    return _scaled(F.layer_norm(rows, layer.normalized_shape, eps=layer.eps), layer, leaves, examples, 0)


def rms_norm(layer: nn.RMSNorm, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Rule of `RMSNorm`."""
    rows = as_autocast(rows, rows, torch.float32)
    return _scaled(F.rms_norm(rows, layer.normalized_shape, eps=layer.eps), layer, leaves, examples, 0)


def instance_norm(layer: InstanceNorm, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Statistics of each row, or the running ones held fixed in eval mode (training them is refused)."""
    axes = {nn.InstanceNorm1d: 3, nn.InstanceNorm2d: 4, nn.InstanceNorm3d: 5}[type(layer)]
    if rows.ndim != axes:  # without a row axis PyTorch would take the channels for rows
        raise SensitivityError(
            f"the first axis must be the row; {type(layer).__name__} needs {axes} axes; found {list(rows.shape)}. "
            "Add the row axis."
        )
    rows = as_autocast(rows, rows, torch.float32)
    running = (layer.running_mean, layer.running_var)
    normalised = F.instance_norm(rows, *running, use_input_stats=running[0] is None, eps=layer.eps)
    return _scaled(normalised, layer, leaves, examples, axes - 2)


def _scaled(normalised: Tensor, layer: nn.Module, leaves: Leaves, examples: int, positions: int) -> Tensor:
    """`normalised * weight + bias`; plain autograd on the leaves adds up over the views and positions of an example.

    `positions` axes follow the axes of the weight.
    """
    result = normalised.view(examples, -1, *normalised.shape[1:])
    for key, leaf, combine in (("weight", leaves.weight, torch.mul), ("bias", leaves.bias, torch.add)):
        parameter = layer._parameters.get(key)
        if parameter is None:
            continue
        values = parameter.detach().expand(1, *parameter.shape) if leaf is None else leaf
        before = result.ndim - positions - values.ndim
        result = combine(result, values[(slice(None), *[None] * before, ..., *[None] * positions)])
    return result.flatten(0, 1)
