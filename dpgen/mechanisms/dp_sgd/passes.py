"""The clipped gradient sum of a step's records, pass by pass, in as much memory as is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dpgen.mechanisms.base import Ids, Records
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.dp_sgd.gradients import RowLoss, clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.micro_batches import micro_batch
from dpgen.mechanisms.dp_sgd.rehearsal import Inputs
from dpgen.noise import NoiseSource


@final
@dataclass
class Passes:
    """Sums clipped gradients over any records, `examples` of them in one pass through the network.

    How a sum is cut into passes changes it by rounding alone: each example is clipped by itself, its randomness
    belongs to its record, and the passes are added in float64.
    """

    module: nn.Module
    inputs: Inputs
    loss: RowLoss
    views: int
    clip_norm: float
    device: torch.device
    examples: int
    fixed_shape: bool

    def clipped_sum(self, records: Records, ids: Ids, noise: NoiseSource, *, step: int) -> dict[str, Tensor]:
        """The sum over the records `ids`, in float64, by parameter name; zero where there are none. Private."""
        trainable = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in trainable.items()}
        done = 0
        while done < len(ids):
            piece = ids[done : done + self.examples]
            for name, tensor in self._pass(records, piece, noise, step).items():
                total[name] += tensor
            done += len(piece)
        return total

    def _pass(self, records: Records, ids: Ids, noise: NoiseSource, step: int) -> dict[str, Tensor]:
        batch = micro_batch(records, ids, self.device, size=self.examples if self.fixed_shape else None)
        random = noise.row_random(batch.ids, views=self.views, step=step, device=self.device)
        with discreet("inputs and loss"):
            rows = self.inputs(batch.images, batch.labels, views=self.views, random=random)
            return clipped_gradient_sum(
                self.module, self.loss, rows, views=self.views, clip_norm=self.clip_norm, mask=batch.mask
            ).sum
