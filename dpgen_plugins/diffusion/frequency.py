"""FETA-Pro's frequency stage: DP-MERF's noisy embedding by random features, and images of a generator matched to it."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import torch
from torch import Tensor

from dpgen.accountants.calibration.split import Part
from dpgen.budget import Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo
from dpgen.data.writing import contact_sheet, eight_bit, rows_by_class
from dpgen.events import Gaussian
from dpgen.generators.mean_embedding import release_embedding
from dpgen.generators.training.private import charged_part
from dpgen.mechanisms.context import RunContext
from dpgen.networks.embedding_matching import draw, match_embedding
from dpgen.networks.image_generator import ImageGenerator
from dpgen.networks.random_features import RandomFourierFeatures
from dpgen_plugins.diffusion.settings import FrequencySettings

LABEL: Final = "frequency-features"
AUXILIARY: Final = "auxiliary-generator"
SHOWN: Final = 8
COUNT_WEIGHT: Final = 0.2
"""Length of the coordinate that counts a class's records, in a vector of length 1."""


def frequency_part(settings: FrequencySettings) -> Part:
    """The frequency features in a plan."""
    return charged_part(LABEL, Gaussian, budget_share=settings.budget_share, noise_multiplier=settings.noise_multiplier)


def release_frequency_images(
    private: PrivateDataset, plan: Plan, settings: FrequencySettings, context: RunContext
) -> tuple[Tensor, Tensor]:
    """Images of an auxiliary generator that matches the noisy features of the private ones, and their labels.

    Privacy: the charge that `plan` holds under "frequency-features", that of `release_embedding`. All that follows is
    post-processing of it.
    Returns: uint8 `[samples, channels, height, width]` and int64 `[samples]`.
    """
    info = private.info
    features = _features(settings, info, context)
    embedding = release_embedding(private, plan, features, label=LABEL, count_weight=COUNT_WEIGHT, context=context)
    network = _auxiliary(settings, info, context)
    matched = partial(
        match_embedding,
        network,
        features,
        embedding.sums,
        embedding.shares,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        context=context,
        phase=AUXILIARY,
    )
    network.load_state_dict(context.once(AUXILIARY, matched))
    images, labels = _drawn(network.to(context.device).eval(), settings, context)
    rows = rows_by_class(images, labels, classes=info.classes, columns=SHOWN)
    context.publish("frequency_images.png", contact_sheet(rows, columns=SHOWN, row_names=info.class_names))
    return images, labels


def _features(settings: FrequencySettings, info: DatasetInfo, context: RunContext) -> RandomFourierFeatures:
    return RandomFourierFeatures(
        math.prod(info.shape),
        settings.features,
        bandwidth=settings.bandwidth,
        generator=context.generator("random Fourier features"),
    )


def _auxiliary(settings: FrequencySettings, info: DatasetInfo, context: RunContext) -> ImageGenerator:
    return ImageGenerator(
        (info.shape.channels, info.shape.height, info.shape.width),
        info.classes,
        latent=settings.latent,
        width=settings.width,
        generator=context.generator(f"{AUXILIARY} weights"),
    )


def _drawn(network: ImageGenerator, settings: FrequencySettings, context: RunContext) -> tuple[Tensor, Tensor]:
    parts = []
    with torch.inference_mode():
        for start in range(0, settings.samples, 500):
            count = min(500, settings.samples - start)
            images, labels = draw(network, count, context.generator(f"{AUXILIARY} sample {start}"))
            parts.append((eight_bit(images).cpu(), labels.cpu()))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])
