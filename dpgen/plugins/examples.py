"""Small mechanisms, made for declared facts: what the conformance kit looks at."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.data.info import DatasetInfo
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NO_VOTE, NoisyHistogram
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, Provenance
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum
from dpgen.noise import RowRandom


def gaussian_sum(info: DatasetInfo) -> GaussianSum:
    """The sums of the pixels of each class, clipped to half the norm of a white image."""
    pixels = math.prod(info.shape)
    return GaussianSum(
        vectors=partial(_class_pixels, classes=info.classes),
        dimension=info.classes * pixels,
        clip_norm=math.sqrt(pixels) / 2,
        noise_multiplier=2.0,
    )


def repeated_gaussian_sum(info: DatasetInfo) -> RepeatedGaussianSum:
    """Three samples of half the records: the sums of each class's pixels and, in a last coordinate, its count."""
    pixels = math.prod(info.shape)
    return RepeatedGaussianSum(
        vectors=_pixels_and_one,
        dimension=pixels + 1,
        clip_norm=math.sqrt(pixels) / 2,
        noise_multiplier=2.0,
        rounds=3,
        sampling_probability=0.5,
        classes=info.classes,
    )


def noisy_histogram(info: DatasetInfo) -> NoisyHistogram:
    """Two votes of each image, for its class and for its brightness; it offers more than may count."""
    return NoisyHistogram(cells=info.classes + 4, votes=2, scale=3.0, vote=partial(_votes, classes=info.classes))


def noisy_maximum(info: DatasetInfo) -> NoisyMaximum:
    """The most frequent class, as far as one vote of each image tells."""
    return NoisyMaximum(candidates=info.classes, scale=4, ballot=partial(_own_class, classes=info.classes))


def dp_sgd(info: DatasetInfo) -> DpSgd:
    """Three steps on a linear classifier, with two randomly shifted views of each image."""
    module = nn.Linear(math.prod(info.shape), info.classes, device="meta").to_empty(device="cpu")
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return DpSgd(
        module=module,
        inputs=_shifted_views,
        loss=_cross_entropy,
        clip_norm=1.0,
        noise_multiplier=1.5,
        sampling_probability=0.5,
        steps=3,
        nominal_records=info.nominal_records,
        optimizer=partial(torch.optim.SGD, lr=0.1),
        views=2,
    )


def lipschitz_vae_sampling(info: DatasetInfo) -> LipschitzVaeSampling:
    """Forty noisy codes of each class: small averaged images, some of them beyond the ball."""
    encoder = nn.Sequential(nn.AvgPool2d(info.shape.height // 2), nn.Flatten())
    return LipschitzVaeSampling(
        encoder=encoder,
        weights=Provenance.public("averages, no weights"),
        dimension=4 * info.shape.channels,
        clip_radius=0.4,
        deviation=0.5,
        draws=40,
        minimum_records=max(1, info.nominal_records // info.classes),
        promised=False,
        classes=info.classes,
    )


def _class_pixels(images: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    return (F.one_hot(labels, classes)[:, :, None] * images.flatten(1)[:, None]).flatten(1)


def _pixels_and_one(images: Tensor, labels: Tensor) -> Tensor:
    return F.pad(images.flatten(1), (0, 1), value=1.0)


def _votes(images: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    brightness = (4 * images.flatten(1).mean(1)).long().clamp(0, 3)
    return torch.stack([labels, torch.full_like(labels, NO_VOTE), classes + brightness, labels, labels + 1], dim=1)


def _own_class(images: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    return F.one_hot(labels, classes)


def _shifted_views(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, Tensor]:
    rows = images.flatten(1).repeat_interleave(views, 0)
    return rows + 0.05 * random.normal(1), labels.repeat_interleave(views, 0)


def _cross_entropy(module: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(module(rows), labels, reduction="none")
