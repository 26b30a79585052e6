"""Linear layers and embeddings: per-example weight gradients as one batched product, or one scatter."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, arange, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dpgen.mechanisms.dp_sgd.leaves import Leaves, as_autocast, detached, run_function


class _Linear(Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        weight_leaf: Tensor | None,
        bias_leaf: Tensor | None,
        probe: Tensor | None,
        examples: int,
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.examples = examples
        return F.linear(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_input, _, _, to_weight, to_bias, to_probe, _ = ctx.needs_input_grad
        return (
            gradient @ weight if to_input else None,
            None,
            None,
            _linear_gradients(gradient, rows, ctx.examples) if to_weight else None,
            gradient.reshape(ctx.examples, -1, gradient.shape[-1]).sum(1) if to_bias else None,
            gradient if to_probe else None,
            None,
        )


def _linear_gradients(gradient: Tensor, rows: Tensor, examples: int) -> Tensor:
    """`dy^T x` of each example, over all its positions."""
    by_example = gradient.reshape(examples, -1, gradient.shape[-1])
    return by_example.mT @ rows.reshape(examples, -1, rows.shape[-1])


class _Embedding(Function):
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
        first = arange(ctx.examples, device=indices.device)[:, None] * entries
        tables = gradient.new_zeros(ctx.examples * entries, width)
        tables.index_add_(0, (by_example + first).flatten(), gradient.reshape(-1, width))
        tables = tables.view(ctx.examples, entries, width)
        if ctx.padding is not None:
            tables[:, ctx.padding] = 0
        return None, None, tables, None, None


def linear(layer: nn.Linear, rows: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Rule of `Linear`, on the last axis of any number."""
    weight, bias = (as_autocast(rows, detached(p)) for p in (layer.weight, layer.bias))
    rows = as_autocast(rows, rows)
    output, positions = (*rows.shape[:-1], len(layer.weight)), rows.shape[:-1].numel() // examples
    leaf, probe = leaves.leaf_or_probe(rows, output, examples, positions, _linear_gradients)
    return run_function(_Linear, rows, weight, bias, leaf, leaves.bias, probe, examples)


def embedding(layer: nn.Embedding, indices: Tensor, leaves: Leaves, examples: int) -> Tensor:
    """Rule of `Embedding`; a padding row has no gradient."""
    return run_function(_Embedding, indices, layer.weight.detach(), leaves.weight, layer.padding_idx, examples)
