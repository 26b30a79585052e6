"""Ordinary training on public images: no privacy cost, resumable, equal seeds equal weights."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from dpgen.generators.training.early_stop import EarlyStop
from dpgen.generators.training.public_images import PublicImages
from dpgen.generators.training.public_step import PublicSteps
from dpgen.generators.training.settings import PretrainSettings, TrainingSettings
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd import Inputs, RowLoss, computed_loss
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.augment import Augmentation

CHECKPOINT_EVERY = 250
PRINT_TO_HAND = Augmentation(rotation=0.22, shear=0.2, scale=0.12, shift=0.03, elastic=0.02)
"""Deformation of public images at strength 1."""


def train(
    module: nn.Module,
    inputs: Inputs,
    loss: RowLoss,
    images: Tensor,
    labels: Tensor,
    *,
    settings: TrainingSettings,
    context: RunContext,
    phase: str,
    variation: Augmentation | None = None,
) -> dict[str, Tensor]:
    """Train `module` in place on the mean loss of public batches; return the moving average of its weights.

    Where `settings` hold images back to validate on, that of the best validation is returned, and training ends once
    it no longer improves.

    Privacy: none; `images` (uint8 `[n, c, h, w]`) and `labels` (int64 `[n]`) must be public, or released already.
    Continues from the last checkpoint of `phase` when there is one: every draw belongs to its step. Each training of
    one run needs its own `phase`. Computed as `context.compute` says. All processes of `context.world` draw the same
    batch and share its rows, so their number changes the weights by rounding alone.
    Args: `inputs` and `loss` as those of `DpSgd`; `variation` of the images of each batch, not of those held back.
    """
    module = context.compute.place(module, context.device).train()
    state = TrainingState(module, partial(torch.optim.Adam, lr=settings.learning_rate, betas=(0.9, 0.99)))
    unfinished = f"{phase}.unfinished"
    state.continue_from(context.checkpoints, unfinished, {})
    computed = computed_loss(loss, module, context.compute, context.device)
    steps = PublicSteps(state=state, inputs=inputs, loss=computed, settings=settings, context=context, phase=phase)
    seen, stop = PublicImages.of(images, labels, context.device), None
    if isinstance(settings, PretrainSettings) and settings.validation_share:
        seen, held_back = seen.split(settings.validation_share, context.generator(f"{phase} validation"))
        stop = EarlyStop(settings, partial(steps.validation_loss, held_back), context.checkpoints, phase)
    with context.progress.track(phase, settings.steps) as advance:
        advance(state.step)
        while not _ended(state, settings, stop):
            steps.take(seen, variation)
            advance(1)
            if state.step % CHECKPOINT_EVERY == 0 and state.step < settings.steps:
                state.save(context.checkpoints, unfinished, {})
    return state.ema if stop is None else stop.weights()


def _ended(state: TrainingState, settings: TrainingSettings, stop: EarlyStop | None) -> bool:
    """Also the weights after the last step are looked at."""
    stopped = stop is not None and stop.looked(state)
    return stopped or state.step >= settings.steps
