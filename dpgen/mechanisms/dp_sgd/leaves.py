"""Per-example leaves: how one backward pass gives every example its own weight gradient.

A *leaf* is a zero-stride tensor `[examples, *weight]` that stands for a weight in the autograd graph: it holds the
weight's numbers once, and autograd delivers one gradient per example for it. So repeated uses of a weight are added up
before any norm is taken, and the ordinary summed weight gradient is never computed. A layer's rule may compute with the
real, detached weight and send the leaf its gradient by hand, where that is faster.
Rows are example-major: row `n * views + k` is view `k` of example `n`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from dpgen.mechanisms.dp_sgd.uses import Use, Uses, WeightGradients, worth_replaying


@dataclass(frozen=True)
class Leaves:
    """The leaf of each of a layer's own parameters; None where the parameter is frozen or absent."""

    weight: Tensor | None
    bias: Tensor | None
    uses: Uses | None = None
    """Where a rule notes a use of the weight that is to be replayed; None where nothing is."""

    def leaf_or_probe(
        self, rows: Tensor, output: Sequence[int], examples: int, positions: int, gradients: WeightGradients
    ) -> tuple[Tensor | None, Tensor | None]:
        """What the weight's gradient is found by: its leaf, or a *probe* for a use that is replayed.

        A probe is a zero of the output's shape that is thought added to the output: its gradient is the output's.
        `positions` of an example are the rank that its gradient can have.
        """
        kept = (rows.numel() + math.prod(output)) // examples
        if not torch.is_grad_enabled() or self.weight is None or self.uses is None:
            return self.weight, None
        if not worth_replaying(self.weight[0].numel(), kept, positions):
            return self.weight, None
        probe = self.uses.zero.to(rows.dtype).expand(output)
        self.uses.noted.append(Use(self.weight, rows.detach(), probe, positions, gradients))
        return None, probe


Rule: TypeAlias = Callable[..., Tensor]
"""(layer, input rows, leaves, examples, *what else the layer's forward takes) -> output rows."""

MaybeTensor = TypeVar("MaybeTensor", Tensor, Tensor | None)


def make_leaf(parameter: nn.Parameter, examples: int) -> Tensor:
    """The leaf of `parameter`: its numbers, `examples` times, in the memory of one."""
    return parameter.detach().expand(examples, *parameter.shape).requires_grad_()


def detached(parameter: Tensor | None) -> Tensor | None:
    """`parameter` without its place in the graph."""
    return None if parameter is None else parameter.detach()


def as_autocast(rows: Tensor, tensor: MaybeTensor, dtype: torch.dtype | None = None) -> MaybeTensor:
    """`tensor` as autocast would hand it to a kernel on the device of `rows`: in `dtype`, or in autocast's own.

    The cast is ordinary autograd outside the rule, so forward and backward of the rule see one precision. Float64 is
    left alone, as autocast does.
    """
    device = rows.device.type
    if tensor is None or not torch.is_autocast_enabled(device):
        return tensor
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(device) if dtype is None else dtype)


def run_function(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """`function.apply`, typed."""
    result: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result
