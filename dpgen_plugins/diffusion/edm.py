"""The diffusion model of Karras et al. 2022 (EDM, arXiv 2206.00364): preconditioning, training inputs, row losses.

Inside the model values are in [-1, 1], as `Space` has them; the rest of dpgen speaks [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from dpgen.noise import RowRandom
from dpgen_plugins.diffusion.settings import NoiseLevelSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

DATA_DEVIATION = 0.5  # sigma_data, EDM table 1

TrainingRows = tuple[Tensor, Tensor, Tensor, Tensor]
"""Clean codes, noisy codes, noise levels, labels: one row per view of an example."""


class TrainingInputs(Protocol):
    """Turns a batch of examples into rows; every random number comes from `random`."""

    def __call__(self, images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> TrainingRows:
        """`images [n, c, h, w]` in [0, 1] and `labels [n]` to `n * views` rows, the views of an example together."""


def denoise(network: Callable[..., Tensor], noisy: Tensor, level: Tensor, labels: Tensor) -> Tensor:
    """The expected clean image given a noisy one: D(x; sigma), EDM equation 7 with the scalings of table 1."""
    sigma = level[:, None, None, None]
    total = sigma**2 + DATA_DEVIATION**2
    c_skip = DATA_DEVIATION**2 / total
    c_out = sigma * DATA_DEVIATION / total.sqrt()
    c_in = 1 / total.sqrt()
    c_noise = level.log() / 4
    prediction: Tensor = network(c_in * noisy, c_noise, labels)
    return c_skip * noisy + c_out * prediction


def row_losses(network: nn.Module, clean: Tensor, noisy: Tensor, level: Tensor, labels: Tensor) -> Tensor:
    """One weighted squared error per row, EDM equation 2. A row's loss depends on that row alone."""
    sigma = level[:, None, None, None]
    weight = (sigma**2 + DATA_DEVIATION**2) / (sigma * DATA_DEVIATION) ** 2  # lambda(sigma), EDM table 1
    return (weight * (denoise(network, noisy, level, labels) - clean) ** 2).flatten(1).mean(1)


def training_inputs(settings: NoiseLevelSettings, space: Space = PIXELS) -> TrainingInputs:
    """How a batch becomes rows: each view of an image gets its own noise level and its own noise.

    The levels of one image's views are stratified: view v of K draws its quantile from [v/K, (v+1)/K). That lowers
    the variance of the image's mean gradient and stays within the image, so the sensitivity is as before.
    """

    def inputs(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> TrainingRows:
        clean = space.encode(images).repeat_interleave(views, dim=0)
        view = torch.arange(len(clean), device=clean.device) % views
        level = log_normal_level((view + random.uniform()) / views, settings)
        noisy = clean + level[:, None, None, None] * random.normal(*clean.shape[1:])
        return clean, noisy, level, labels.repeat_interleave(views)

    return inputs


def log_normal_level(quantile: Tensor, settings: NoiseLevelSettings) -> Tensor:
    """The noise level at a quantile in [0, 1): exp(mean + deviation * z), z the normal quantile."""
    z: Tensor = torch.special.ndtri(quantile.clamp(1e-6, 1 - 1e-6))
    return (settings.mean + settings.deviation * z).exp()


def clamped_denoiser(network: Callable[..., Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The denoiser for samplers: its clean images are kept inside [-1, 1], where all data lie."""
    return lambda noisy, level, labels: denoise(network, noisy, level, labels).clamp(-1, 1)
