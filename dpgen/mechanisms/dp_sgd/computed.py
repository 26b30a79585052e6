"""A loss computed as the `[compute]` settings say: in bfloat16, on channels-last images, compiled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dpgen.mechanisms.compute import Compute
from dpgen.mechanisms.dp_sgd.compiled import CompiledLoss
from dpgen.mechanisms.dp_sgd.gradients import RowLoss


def computed_loss(loss: RowLoss, module: nn.Module, compute: Compute, device: torch.device) -> RowLoss:
    """`loss` as `compute` says, for `clipped_gradient_sum` with `module` on `device`: the same to rounding.

    Make it once and use it for all passes: a compiled loss keeps its programs. `Compute.place` puts the module's
    weights in the matching memory format.
    """
    if compute.precision == "bfloat16":
        loss = _in_bfloat16(loss, device.type)
    if compute.compile:
        loss = CompiledLoss(loss, module)
    return _on_channels_last(loss) if compute.is_channels_last(device) else loss


def _in_bfloat16(loss: RowLoss, device: str) -> RowLoss:
    """Inside what is compiled, so that a traced backward pass is, like any other, outside autocast."""

    def computed(module: nn.Module, *inputs: Tensor) -> Tensor:
        with torch.autocast(device, dtype=torch.bfloat16):
            return loss(module, *inputs)

    return computed


def _on_channels_last(loss: RowLoss) -> RowLoss:
    def computed(module: nn.Module, *inputs: Tensor) -> Tensor:
        return loss(module, *(_channels_last(rows) for rows in inputs))

    return computed


def _channels_last(rows: Tensor) -> Tensor:
    """`to`, not `contiguous`: it gives images of one channel, which are in both formats, the strides of this one."""
    return rows.to(memory_format=torch.channels_last) if rows.ndim == 4 else rows
