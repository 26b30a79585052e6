"""What every classifier of an evaluation is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Classifier(nn.Module, ABC):
    """Logits of images, and the features that the last layer sees. Trained on public or synthetic images only."""

    channels: int
    """Of the images that it takes."""
    classes: int

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Features `[n, d]` of float images `[n, channels, height, width]` in [0, 1]."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Logits `[n, classes]` of images as `features` takes them."""
