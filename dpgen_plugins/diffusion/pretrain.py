"""Ordinary training of a diffusion network on public images: no privacy cost, resumable, equal seeds equal weights."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.augment import Augmentation
from dpgen.networks.unet import UNet
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings, PretrainSettings

PHASE = "pretrain"
UNFINISHED = f"{PHASE}.unfinished"
WARM_UP_STEPS = 30
CHECKPOINT_EVERY = 250
PRINT_TO_HAND = Augmentation(rotation=0.22, shear=0.2, scale=0.12, shift=0.03, elastic=0.02)
"""Deformation of public images at strength 1."""


def pretrain(
    network: UNet,
    images: Tensor,
    labels: Tensor,
    *,
    settings: PretrainSettings,
    noise_levels: NoiseLevelSettings,
    context: RunContext,
) -> dict[str, Tensor]:
    """Train `network` in place and return the moving average of its weights.

    Privacy: none; `images` (uint8 `[n, c, h, w]`) and `labels` (int64 `[n]`) must be public.
    Continues from the last checkpoint of the phase when there is one: every draw belongs to its step.
    """
    state = TrainingState(
        network.to(context.device).train(), partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.9, 0.99))
    )
    state.continue_from(context.checkpoints, UNFINISHED, {})
    inputs = training_inputs(noise_levels)
    with context.progress.track(PHASE, settings.steps) as advance:
        advance(state.step)
        while state.step < settings.steps:
            generator = context.generator(f"{PHASE} {state.step}")
            rows = torch.randint(len(images), (settings.batch,), generator=generator)
            batch = images[rows].to(context.device).float() / 255
            if settings.jitter:
                batch = PRINT_TO_HAND.times(settings.jitter)(batch, generator)
            random = PublicRows(len(rows), generator, context.device)
            loss = row_losses(network, *inputs(batch, labels[rows].to(context.device), views=1, random=random)).mean()
            gradients = torch.autograd.grad(loss, list(state.trainable.values()))
            state.descend(
                dict(zip(state.trainable, gradients, strict=True)), rate_factor=_schedule(state.step, settings)
            )
            state.average(decay=settings.ema_decay)
            advance(1)
            if state.step % CHECKPOINT_EVERY == 0 and state.step < settings.steps:
                state.save(context.checkpoints, UNFINISHED, {})
    return state.ema


def _schedule(step: int, settings: PretrainSettings) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up * linear_decay(step, settings.steps, settings.final_learning_rate)


def linear_decay(step: int, steps: int, final: float) -> float:
    """Factor on the learning rate: linear from 1 at the first step to `final` at the last."""
    return 1 - (1 - final) * step / max(steps - 1, 1)
