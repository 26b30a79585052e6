"""What a diffusion method needs of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class DiffusionNetwork(nn.Module, ABC):
    """Maps scaled noisy images, their noise levels and classes to a raw prediction of the same shape.

    A row of the output comes from its own row of the input alone: DP-SGD needs that, and refuses what mixes rows.
    """

    multiple: int
    """The sides of images must divide by it."""
    class_table: nn.Embedding
    """One row for each class, and a last one for "no class"; added to the embedding of the noise level."""

    @abstractmethod
    def forward(self, x: Tensor, noise_condition: Tensor, labels: Tensor) -> Tensor:
        """`x [n, channels, h, w]`, `noise_condition [n]`, `labels [n]` int64 to `[n, channels, h, w]`."""
