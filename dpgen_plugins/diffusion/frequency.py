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
from dpgen.errors import PlanMismatch
from dpgen.events import Gaussian
from dpgen.generators.training.private import charged_part
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.networks.embedding_matching import draw, match_embedding
from dpgen.networks.image_generator import ImageGenerator
from dpgen.networks.random_features import RandomFourierFeatures
from dpgen_plugins.diffusion.settings import FrequencySettings

LABEL: Final = "frequency-features"
AUXILIARY: Final = "auxiliary-generator"
SHOWN: Final = 8
RECORDS_AT_ONCE: Final = 256
FEATURE_NORM: Final = 1.0
"""cos^2 + sin^2 = 1. The sum clips to it all the same, which trims what rounding adds."""


def frequency_part(settings: FrequencySettings) -> Part:
    """The frequency features in a plan."""
    return charged_part(LABEL, Gaussian, budget_share=settings.budget_share, noise_multiplier=settings.noise_multiplier)


def release_frequency_images(
    private: PrivateDataset, plan: Plan, settings: FrequencySettings, context: RunContext
) -> tuple[Tensor, Tensor]:
    """Images of an auxiliary generator that matches the noisy features of the private ones, and their labels.

    Privacy: the charge that `plan` holds under "frequency-features", one Gaussian sum of features of norm 1 for each
    class: add-or-remove-one L2 sensitivity 1. All that follows is post-processing of it.
    Returns: uint8 `[samples, channels, height, width]` and int64 `[samples]`.
    """
    info = private.info
    features = _features(settings, info, context).to(context.device)
    embedding = _released_sums(private, plan, features, settings, context) / info.nominal_records
    network = _auxiliary(settings, info, context)
    matched = partial(
        match_embedding,
        network,
        features,
        embedding,
        _class_shares(info),
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


def _released_sums(
    private: PrivateDataset,
    plan: Plan,
    features: RandomFourierFeatures,
    settings: FrequencySettings,
    context: RunContext,
) -> Tensor:
    mechanism = GaussianSum(
        vectors=lambda images, labels: features(images.to(context.device)),
        dimension=settings.features,
        clip_norm=FEATURE_NORM,
        noise_multiplier=_planned_noise(plan),
        classes=private.info.classes,
        batch=RECORDS_AT_ONCE,
        phase=LABEL,
    )
    return context.once(LABEL, lambda: {"sums": private.release(mechanism, label=LABEL)})["sums"]


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


def _class_shares(info: DatasetInfo) -> Tensor:
    """From counts that the owner declared public; else even, as published: true ones are private."""
    if info.class_counts is None:
        return torch.full((info.classes,), 1 / info.classes)
    return torch.tensor(info.class_counts, dtype=torch.float32) / info.nominal_records


def _drawn(network: ImageGenerator, settings: FrequencySettings, context: RunContext) -> tuple[Tensor, Tensor]:
    parts = []
    with torch.inference_mode():
        for start in range(0, settings.samples, 500):
            count = min(500, settings.samples - start)
            images, labels = draw(network, count, context.generator(f"{AUXILIARY} sample {start}"))
            parts.append((eight_bit(images).cpu(), labels.cpu()))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def _planned_noise(plan: Plan) -> float:
    planned = plan[LABEL]
    if not isinstance(planned, Gaussian):
        raise PlanMismatch(expected=f"a Gaussian event under {LABEL!r}", got=str(planned))
    return planned.noise_multiplier
