"""Training an image generator until the mean features of its images match a released embedding, class by class."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.errors import DataError
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.image_generator import ImageGenerator

CHECKPOINT_EVERY: Final = 250
_DECAYS: Final = 5
"""The learning rate falls to 0.9 of itself this many times, as in the five epochs of DP-MERF."""
_AVERAGE: Final = 0.99


def match_embedding(
    network: ImageGenerator,
    features: nn.Module,
    embedding: Tensor,
    class_shares: Tensor,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    context: RunContext,
    phase: str,
    unbiased: bool = False,
) -> dict[str, Tensor]:
    """Train `network` in place to minimise |embedding - its own|^2, and return the moving average of its weights.

    Privacy: none; `embedding` must be released already. Continues from the last checkpoint of `phase` when there is
    one: every draw belongs to its step.

    Args: `features` of images, `[n, d]`; `embedding [classes, d]` holds, for each class, its share of all records
    times its mean features; `class_shares [classes]`, public or released, those shares for the generated images.
    `unbiased`: a batch's own spread is taken out of its mean's square, which otherwise rewards images that are all
    alike: the fewer images of a class a batch has, the more. It needs two images of each class.
    Raises: `InvalidValue` on a bad setting; `DataError` when the embedding does not fit the generator's classes.
    Source: Harder et al., DP-MERF, AISTATS 2021 (arXiv 2002.11603), with labels dealt evenly.
    """
    validate.count(1, steps=steps, batch=batch)
    validate.positive(learning_rate=learning_rate)
    _check(network, embedding, class_shares)
    if unbiased:
        validate.count(2 * network.classes, batch=batch)
    state = TrainingState(network.to(context.device).train(), partial(torch.optim.Adam, lr=learning_rate))
    features, target = features.to(context.device), embedding.to(context.device, torch.float32)
    shares, unfinished = class_shares.to(target), f"{phase}.unfinished"
    state.continue_from(context.checkpoints, unfinished, {})
    with context.progress.track(phase, steps) as advance:
        advance(state.step)
        while state.step < steps:
            images, labels = draw(network, batch, context.generator(f"{phase} {state.step}"))
            rows = features(images)
            loss = (target - _embedded(rows, labels, shares)).square().sum()
            if unbiased:
                loss = loss - _spread(rows, labels, shares)
            gradients = torch.autograd.grad(loss, list(state.trainable.values()))
            rate = 0.9 ** (_DECAYS * state.step // steps)
            state.descend(dict(zip(state.trainable, gradients, strict=True)), rate_factor=rate)
            state.average(decay=_AVERAGE)
            advance(1)
            if state.step % CHECKPOINT_EVERY == 0 and state.step < steps:
                state.save(context.checkpoints, unfinished, {})
    return state.ema


def _check(network: ImageGenerator, embedding: Tensor, class_shares: Tensor) -> None:
    if len(embedding) != network.classes or class_shares.shape != (network.classes,):
        raise DataError(
            f"expected an embedding and a share for each of {network.classes} classes; found {len(embedding)} and "
            f"{len(class_shares)}. Build the generator for the classes of the embedding."
        )


def draw(network: ImageGenerator, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` images of `network` and their labels, as even over the classes as can be."""
    device = next(network.parameters()).device
    labels = torch.arange(count, device=device) % network.classes
    noise = torch.randn(count, network.latent, generator=generator).to(device)
    return network(noise, labels), labels


def _embedded(features: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """For each class its share times the mean of its rows; a class without rows gives 0."""
    sums = torch.zeros(len(shares), features.shape[1], device=features.device).index_add(0, labels, features)
    counts = torch.bincount(labels, minlength=len(shares)).clamp(min=1)
    return sums * (shares / counts)[:, None]


def _spread(features: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """What |mean of a batch|^2 exceeds |expected mean|^2 by, in expectation: the rows' variance over their number."""
    counts = torch.bincount(labels, minlength=len(shares)).to(features)
    squares = torch.zeros_like(shares).index_add(0, labels, features.square().sum(1))
    means = torch.zeros(len(shares), features.shape[1], device=features.device).index_add(0, labels, features)
    means = means / counts[:, None]
    variances = (squares - counts * means.square().sum(1)) / (counts - 1)
    return (shares.square() * variances / counts).sum()
