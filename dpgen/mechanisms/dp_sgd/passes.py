"""The clipped gradient sum of a step's records, pass by pass, in as much memory as there is."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dpgen.errors import OutOfMemory
from dpgen.mechanisms.base import Ids, Records
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.dp_sgd.gradients import RowLoss, clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.memory import rows_that_fit
from dpgen.mechanisms.dp_sgd.micro_batches import MicroBatch, made_up_batch, micro_batch
from dpgen.mechanisms.dp_sgd.pass_size import PassSize
from dpgen.mechanisms.dp_sgd.rehearsal import Inputs, require_rows
from dpgen.mechanisms.out_of_memory import is_out_of_memory
from dpgen.noise import NoiseSource, PublicRows, RowRandom

_log = logging.getLogger("dpgen.mechanisms")


@final
@dataclass
class Passes:
    """Sums clipped gradients over any records, `size` of them in one pass through the network.

    How a sum is cut into passes changes it by rounding alone: each example is clipped by itself, its randomness
    belongs to its record, and the passes are added in float64. So where memory runs out, the same examples are tried
    again in smaller passes, now and for the rest of the run.
    """

    module: nn.Module
    inputs: Inputs
    loss: RowLoss
    clip_norm: float
    device: torch.device
    size: PassSize
    fixed_shape: bool
    normalising_stability: float | None = None

    def clipped_sum(self, records: Records, ids: Ids, noise: NoiseSource, *, step: int) -> dict[str, Tensor]:
        """The sum over the records `ids`, in float64, by parameter name; zero where there are none. Private.

        Raises: `OutOfMemory` where a single row needs more than there is.
        """
        trainable = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        total = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in trainable.items()}
        done = 0
        while done < len(ids):
            piece = ids[done : done + self.size.examples]
            part = self._attempt(records, piece, noise, step)
            if part is None:  # nothing of the failed pass was added: its examples are still to do
                self._shrink()
                continue
            for name, tensor in part.items():
                total[name] += tensor
            done += len(piece)
        return total

    def _attempt(self, records: Records, ids: Ids, noise: NoiseSource, step: int) -> dict[str, Tensor] | None:
        """The clipped sum of one pass, or None when memory ran out."""
        try:
            batch = micro_batch(records, ids, self.device, size=self.size.examples if self.fixed_shape else None)
            random = noise.row_random(batch.ids, views=self.size.views, step=step, device=self.device)
            return self.gradients(batch, random)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None  # outside of `except`: the traceback would keep the failed pass in memory

    def fit(self, image: torch.Size, generator: torch.Generator, *, most: int, sharers: int) -> None:
        """Take as many rows in a pass as fit into memory, at most `most`, measured on made-up images; logged."""

        def run(examples: int) -> None:
            random = PublicRows(examples * self.size.views, generator, self.device)
            self.gradients(made_up_batch(examples, image, generator, self.device), random)

        try:
            rows = rows_that_fit(run, views=self.size.views, device=self.device, most=most, sharers=sharers)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            rows = self.size.views  # one example is too much, it seems: begin there and go on halving
        self.size = PassSize.of_rows(rows, self.size.views)
        _log.info("%s in one pass, by a measured probe of memory", self.size)

    def gradients(self, batch: MicroBatch, random: RowRandom) -> dict[str, Tensor]:
        """The clipped sum over one micro-batch, private unless its examples are made up."""
        views, part = self.size.views, self.size.views_per_pass
        with discreet("inputs and loss"):
            rows = self.inputs(batch.images, batch.labels, views=views, random=random)
            require_rows(rows, len(batch.ids), views)
            return clipped_gradient_sum(
                self.module,
                self.loss,
                rows,
                views=views,
                clip_norm=self.clip_norm,
                mask=batch.mask,
                views_per_pass=part,
                normalising_stability=self.normalising_stability,
            ).sum

    def _shrink(self) -> None:
        smaller = self.size.smaller()
        if smaller is None:
            raise OutOfMemory(
                f"the memory of device {str(self.device)!r} must hold the gradient of one row; found it exhausted. "
                "Take a smaller network or smaller images, or a device with more memory; the run resumes where it was."
            )
        _log.warning("memory ran out at %s; from now on %s in one pass", self.size, smaller)
        self.size = smaller
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # pieces of the failed size would stand in the way of the smaller ones
