"""Ordinary training of a diffusion network on public images: no privacy cost, resumable, equal seeds equal weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.augment import Augmentation
from dpgen.networks.unet import UNet
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings, PretrainSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

PHASE = "pretrain"
WARM_UP_STEPS = 30
CHECKPOINT_EVERY = 250
PRINT_TO_HAND = Augmentation(rotation=0.22, shear=0.2, scale=0.12, shift=0.03, elastic=0.02)
"""Deformation of public images at strength 1."""

BatchLoss: TypeAlias = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Images in [0, 1] and labels of a batch, on the training device, to one loss; its randomness is the generator's."""


def pretrain(
    network: UNet,
    images: Tensor,
    labels: Tensor,
    *,
    settings: PretrainSettings,
    noise_levels: NoiseLevelSettings,
    context: RunContext,
    space: Space = PIXELS,
    phase: str = PHASE,
) -> dict[str, Tensor]:
    """Train `network` in place on the diffusion loss and return the moving average of its weights.

    Privacy: none; see `train`. Each image is encoded by `space`.
    """
    inputs = training_inputs(noise_levels, space)

    def loss(batch: Tensor, classes: Tensor, generator: torch.Generator) -> Tensor:
        random = PublicRows(len(batch), generator, context.device)
        return row_losses(network, *inputs(batch, classes, views=1, random=random)).mean()

    return train(network, loss, images, labels, settings=settings, context=context, phase=phase)


def train(
    module: nn.Module,
    loss: BatchLoss,
    images: Tensor,
    labels: Tensor,
    *,
    settings: PretrainSettings,
    context: RunContext,
    phase: str,
) -> dict[str, Tensor]:
    """Train `module` in place on a loss of public batches and return the moving average of its weights.

    Privacy: none; `images` (uint8 `[n, c, h, w]`) and `labels` (int64 `[n]`) must be public, or released already.
    Continues from the last checkpoint of `phase` when there is one: every draw belongs to its step. Each training of
    one run needs its own `phase`.
    """
    state = TrainingState(
        module.to(context.device).train(), partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.9, 0.99))
    )
    unfinished = f"{phase}.unfinished"
    state.continue_from(context.checkpoints, unfinished, {})
    with context.progress.track(phase, settings.steps) as advance:
        advance(state.step)
        while state.step < settings.steps:
            generator = context.generator(f"{phase} {state.step}")
            rows = torch.randint(len(images), (settings.batch,), generator=generator)
            batch = images[rows].to(context.device).float() / 255
            if settings.jitter:
                batch = PRINT_TO_HAND.times(settings.jitter)(batch, generator)
            _descend(state, loss(batch, labels[rows].to(context.device), generator), settings)
            advance(1)
            if state.step % CHECKPOINT_EVERY == 0 and state.step < settings.steps:
                state.save(context.checkpoints, unfinished, {})
    return state.ema


def _descend(state: TrainingState, loss: Tensor, settings: PretrainSettings) -> None:
    gradients = torch.autograd.grad(loss, list(state.trainable.values()))
    state.descend(dict(zip(state.trainable, gradients, strict=True)), rate_factor=_schedule(state.step, settings))
    state.average(decay=settings.ema_decay)


def _schedule(step: int, settings: PretrainSettings) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * linear_decay(step, settings.steps, settings.final_learning_rate)


def linear_decay(step: int, steps: int, final: float) -> float:
    """Factor on the learning rate: linear from 1 at the first step to `final` at the last."""
    return 1 - (1 - final) * step / max(steps - 1, 1)
