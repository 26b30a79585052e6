"""Ordinary training of both networks on public images: no privacy cost, resumable, equal seeds equal weights."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.data.relabelled import relabelled
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.training_state import TrainingState
from dpgen.noise import PublicRows
from dpgen_plugins.gan.adversarial import generator_turn, pair_inputs, pair_losses
from dpgen_plugins.gan.networks import Adversaries
from dpgen_plugins.gan.settings import AdversarialPretraining, GeneratorSteps

PHASE: Final = "pretrain"
UNFINISHED: Final = f"{PHASE}.unfinished"
CHECKPOINT_EVERY: Final = 250


def pretrain(
    module: Adversaries,
    public: PublicDataset,
    info: DatasetInfo,
    *,
    settings: AdversarialPretraining,
    generator: GeneratorSteps,
    context: RunContext,
) -> dict[str, Tensor]:
    """Train `module` in place on public images, under labels of the private classes; return the average of its weights.

    Privacy: none. Continues from its last checkpoint when there is one: every draw belongs to its step.
    """
    public = relabelled(public, info.class_names)
    optimizer = partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.9, 0.99))
    state = TrainingState(module.to(context.device), optimizer)
    own = partial(_named_draws, context)
    state.continue_from(context.checkpoints, UNFINISHED, {})
    with context.progress.track(PHASE, settings.steps) as advance:
        advance(state.step)
        while state.step < settings.steps:
            step = state.step
            draws = context.generator(f"{PHASE} {step}")
            rows = torch.randint(len(public), (settings.batch,), generator=draws)
            batch = public.images[rows].to(context.device).float() / 255
            random = PublicRows(settings.batch, draws, context.device)
            inputs = pair_inputs(batch, public.labels[rows].to(context.device), views=1, random=random)
            gradients = torch.autograd.grad(pair_losses(module, *inputs).mean(), list(state.trainable.values()))
            state.descend(dict(zip(state.trainable, gradients, strict=True)), rate_factor=1.0)
            generator_turn(module, step, settings=generator, draws=own)
            state.average(decay=settings.ema_decay)
            advance(1)
            if state.step % CHECKPOINT_EVERY == 0 and state.step < settings.steps:
                state.save(context.checkpoints, UNFINISHED, {})
    return state.ema


def _named_draws(context: RunContext, purpose: str) -> torch.Generator:
    return context.generator(f"{PHASE} {purpose}")
