"""Where the features come from that distances are measured in; every score names it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import Shape
from dpgen.errors import DataError
from dpgen.evaluation.base import Features
from dpgen.evaluation.recipe import Recipe
from dpgen.mechanisms.context import Progress, SilentProgress, public_generator
from dpgen.networks.augment import Augmentation
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import extract_features, to_unit_range
from dpgen.networks.training import train_classifier

_COSINES = 8
"""Frequencies per axis of `PixelCosines`."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What extractors are built from; each takes what it needs. Nothing of it is private, and nothing synthetic."""

    shape: Shape
    public: PublicDataset | None = None
    weights: Path | None = None
    """A file that the user brings."""
    recipe: Recipe
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress = field(default_factory=SilentProgress)


class FeatureExtractor(ABC):
    """A fixed map from images to features that learnt from neither the private nor the synthetic images."""

    name: ClassVar[str]
    """Selected by this name in the registry."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Fields of `Setting` without which it cannot be built: "public", "weights"."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What every score says it was measured by; two extractors of one identity give the same features."""

    @abstractmethod
    def __call__(self, images: Tensor) -> Features:
        """Features `[n, d]` float64 of images `[n, channels, height, width]`, uint8 or float in [0, 1]."""

    @abstractmethod
    def probabilities(self, features: Features) -> Features | None:
        """Class probabilities `[n, classes]` that the network's own head gives these features; None without a head."""

    @classmethod
    @abstractmethod
    def build(cls, setting: Setting) -> Self:
        """The extractor for this setting. Raises: `DataError` naming what it lacks, such as a file of weights."""


@final
@dataclass(frozen=True)
class PublicFeatures(FeatureExtractor):
    """The penultimate layer of a small classifier that was trained on the public set."""

    network: ImageClassifier

    name: ClassVar[str] = "public_cnn"
    needs: ClassVar[tuple[str, ...]] = ("public",)

    @cached_property
    def identity(self) -> str:
        """`public-cnn@` and the first eight digits of the weights' SHA-256."""
        return f"public-cnn@{weights_digest(self.network)[:8]}"

    def __call__(self, images: Tensor) -> Features:
        """Features `[n, feature_size]`."""
        return extract_features(self.network, images).double().numpy()

    @torch.inference_mode()
    def probabilities(self, features: Features) -> Features:
        """Probabilities of the classes of the public set."""
        rows = torch.from_numpy(features).float().to(self.network.head.weight.device)
        shares: Features = self.network.head(rows).double().softmax(1).cpu().numpy()
        return shares

    @classmethod
    def build(cls, setting: Setting) -> PublicFeatures:
        """Trained on `setting.public` by the recipe. Raises: `DataError` without a public set."""
        if setting.public is None:
            raise DataError(
                "public_cnn learns its features from a public set; found none. Give one, or take pixel_cosines."
            )
        return cls.train(
            setting.public,
            steps=setting.recipe.feature_steps,
            width=setting.recipe.width,
            augmentation=setting.recipe.augmentation,
            seed=setting.seed,
            device=setting.device,
            progress=setting.progress,
        )

    @staticmethod
    def train(
        public: PublicDataset,
        *,
        steps: int,
        width: int,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
        progress: Progress,
    ) -> PublicFeatures:
        """Features learnt from `public` alone: the same for every generator that is compared on one public set."""
        draws = public_generator(seed, "evaluate: features")
        network = ImageClassifier(public.shape.channels, len(public.class_names), width, generator=draws)
        train_classifier(
            network,
            public.images,
            public.labels,
            steps=steps,
            augmentation=augmentation,
            generator=draws,
            progress=progress,
            phase="evaluate: features",
            device=device,
        )
        return PublicFeatures(network)


@final
@dataclass(frozen=True)
class PixelCosines(FeatureExtractor):
    """The lowest 8 x 8 cosine coefficients of each channel, for runs without a public set.

    Fixed in advance, so it favours no generator. (Principal components of the synthetic images would leave out the
    very directions that a collapsed generator lacks; a network with random weights knows nothing of images.)
    It sees layout and strokes, no meaning: compare its distances with care.
    """

    shape: Shape

    name: ClassVar[str] = "pixel_cosines"

    @property
    def identity(self) -> str:
        """Says how many frequencies of how large an image."""
        return f"pixel-cosines-{self._count(self.shape.height)}x{self._count(self.shape.width)}"

    def __call__(self, images: Tensor) -> Features:
        """Features `[n, channels * at most 64]`."""
        pixels = to_unit_range(images).double().cpu().numpy()
        down, across = _cosines(self.shape.height), _cosines(self.shape.width)
        coefficients = np.einsum("kh,nchw,lw->nckl", down, pixels, across, optimize=True)
        return np.ascontiguousarray(coefficients.reshape(len(pixels), -1))

    def probabilities(self, features: Features) -> None:
        """None: cosines know no classes."""
        return

    @classmethod
    def build(cls, setting: Setting) -> PixelCosines:
        """For images of the setting's shape."""
        return cls(setting.shape)

    @staticmethod
    def _count(side: int) -> int:
        return min(_COSINES, side)


def _cosines(side: int) -> Features:
    """The first rows of the orthonormal DCT-II `[frequencies, side]`, over root side: coefficients near [-1, 1]."""
    places, frequencies = np.arange(side), np.arange(min(_COSINES, side))[:, None]
    rows = np.cos(math.pi * (places + 0.5) * frequencies / side) * np.where(frequencies == 0, 1.0, math.sqrt(2.0))
    return np.asarray(rows / side)
