"""Where a kernel compares images: their pixels, or a layer of a network that learnt from public images."""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor, nn

from dpgen.data.datasets import PublicDataset
from dpgen.errors import InvalidValue
from dpgen.evaluation.weights_file import read_weights
from dpgen.mechanisms.context import RunContext
from dpgen.networks.augment import WILD
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.efficientnet_lite import MiddleFeatures, load_efficientnet_lite0
from dpgen.networks.inference import extract_features
from dpgen.networks.training import train_classifier
from dpgen_plugins.kernel.features import squared_distances
from dpgen_plugins.kernel.settings import PublicNetworkSettings

PHASE: Final = "public-network"
MEASURED: Final = 1000
"""Public images that tell the scale of deep features."""
MEASURED_AT_ONCE: Final = 100


@final
class DeepSpace(nn.Module):
    """Features of a frozen public network, moved and scaled so that public images are 1 apart at the median.

    Args: `network` with public weights, whose `features` takes images in [0, 1]; `images` public, uint8
    `[n, channels, height, width]`, n >= 2.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, network: ImageClassifier | MiddleFeatures, images: Tensor) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.dimension = network.feature_size
        rows = extract_features(network, images[:MEASURED], batch=MEASURED_AT_ONCE)
        deviations = rows.std(0).clamp(min=1e-3 * float(rows.std()) + 1e-9)  # a feature that never moves stays small
        whitened = (rows - rows.mean(0)) / deviations
        above = torch.triu(torch.ones(len(rows), len(rows), dtype=torch.bool), diagonal=1)
        median = squared_distances(whitened, whitened)[above].median().sqrt().clamp(min=1e-9)
        self.register_buffer("centre", rows.mean(0))
        self.register_buffer("scale", 1 / (deviations * median))

    def forward(self, images: Tensor) -> Tensor:
        """`[n, dimension]` of float images in [0, 1]; differentiable in the images."""
        return (self.network.features(images) - self.centre) * self.scale


def check_public_network(settings: PublicNetworkSettings) -> None:
    """Raises: `InvalidValue` where the file of weights is missing, before anything is opened."""
    if settings.weights is not None and not Path(settings.weights).is_file():
        raise InvalidValue(
            f"public_network.weights must be a file; found none at {settings.weights!r}. Give its path, or leave it "
            "out: a network is trained on the public set then."
        )


def deep_space(public: PublicDataset, settings: PublicNetworkSettings, context: RunContext) -> DeepSpace:
    """The space of the public network; what was trained or read for it is kept for a resumed run. Free.

    Raises: `DataError` for a file that is no weights of EfficientNet-Lite0.
    """
    make = _trained if settings.weights is None else _from_file
    return DeepSpace(make(public, settings, context), public.images)


def _trained(public: PublicDataset, settings: PublicNetworkSettings, context: RunContext) -> ImageClassifier:
    network = ImageClassifier(
        public.shape.channels,
        len(public.class_names),
        width=settings.width,
        generator=context.generator(f"{PHASE} weights"),
    )

    def train() -> dict[str, Tensor]:
        return train_classifier(
            network,
            public.images,
            public.labels,
            steps=settings.steps,
            generator=context.generator(f"{PHASE} batches"),
            augmentation=WILD.times(settings.jitter) if settings.jitter else None,
            progress=context.progress,
            phase=PHASE,
            device=context.device,
            checkpoints=context.checkpoints,
        ).state_dict()

    network.load_state_dict(context.once(PHASE, train))
    return network.cpu()


def _from_file(public: PublicDataset, settings: PublicNetworkSettings, context: RunContext) -> MiddleFeatures:
    weights = context.once(PHASE, lambda: read_weights(Path(str(settings.weights)))[0])
    network = load_efficientnet_lite0(weights, named=str(settings.weights))
    return MiddleFeatures(network, depth=settings.depth, grid=settings.grid, side=settings.side)
