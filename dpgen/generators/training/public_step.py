"""One step of an ordinary training on public images, and its loss on images held back; shared by all processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dpgen.generators.training.public_images import PublicImages
from dpgen.generators.training.settings import TrainingSettings
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd import Inputs, RowLoss
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.augment import Augmentation
from dpgen.noise import PublicRows

WARM_UP_STEPS = 30


@final
@dataclass(frozen=True, kw_only=True)
class PublicSteps:
    """What the steps of one training have in common. Every draw is a function of the run's seed, `phase` and step."""

    state: TrainingState
    inputs: Inputs
    loss: RowLoss
    settings: TrainingSettings
    context: RunContext
    phase: str

    def take(self, images: PublicImages, variation: Augmentation | None) -> None:
        """Descend along the mean gradient of one batch and move the average.

        All processes draw the whole batch, each goes through its share of the rows, and the shares are added up: the
        weights stay the same in all of them, bit for bit, and the same for any number of processes but for rounding.
        """
        settings, state, world = self.settings, self.state, self.context.world
        generator = self.context.generator(f"{self.phase} {state.step}")
        batch, labels = images.batch(torch.randint(len(images), (settings.batch,), generator=generator))
        if variation is not None:
            batch = variation(batch, generator)
        share = [rows[world.rank :: world.size] for rows in self._rows(batch, labels, generator)]
        loss = self.loss(state.module, *share).sum() / settings.batch
        gradients = torch.autograd.grad(loss, list(state.trainable.values()))
        part = dict(zip(state.trainable, gradients, strict=True))
        state.descend(world.add_up(part, finish=lambda total: total), rate_factor=self._rate_factor())
        state.average(decay=settings.ema_decay)

    def validation_loss(self, images: PublicImages) -> float:
        """The mean loss of the averaged weights, without variation; the noise is the same at each call."""
        world, size = self.context.world, self.settings.batch
        total = torch.zeros(1, dtype=torch.float64, device=self.context.device)
        with _averaged(self.state), torch.no_grad():
            for start in list(range(0, len(images), size))[world.rank :: world.size]:
                batch, labels = images.batch(torch.arange(start, min(start + size, len(images))))
                rows = self._rows(batch, labels, self.context.generator(f"{self.phase} validation {start}"))
                total += self.loss(self.state.module, *rows).sum(dtype=torch.float64)
        return float(world.add_up({"total": total}, finish=lambda parts: parts)["total"]) / len(images)

    def _rows(self, batch: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        random = PublicRows(len(batch), _on(self.context.device, generator), self.context.device)
        return self.inputs(batch, labels, views=1, random=random)

    def _rate_factor(self) -> float:
        step, settings = self.state.step, self.settings
        warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
        return warm_up * linear_decay(step, settings.steps, settings.final_learning_rate)


def linear_decay(step: int, steps: int, final: float) -> float:
    """Factor on the learning rate: linear from 1 at the first step to `final` at the last."""
    return 1 - (1 - final) * step / max(steps - 1, 1)


@contextmanager
def _averaged(state: TrainingState) -> Iterator[None]:
    """The module with its averaged weights, for as long as it lasts."""
    weights = state.weights()
    state.module.load_state_dict(state.ema)
    state.module.eval()
    try:
        yield
    finally:
        state.module.load_state_dict(weights)
        state.module.train()


def _on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """`generator` itself on the CPU, else one of the device, seeded by it: a batch's noise is not drawn there first."""
    if device.type == "cpu":
        return generator
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return torch.Generator(device).manual_seed(seed)
