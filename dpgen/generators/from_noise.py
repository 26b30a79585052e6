"""A fitted network that turns standard normal numbers and a class into an image, and how to draw from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.mechanisms.context import Progress, SilentProgress, public_generator

AT_ONCE = 500
"""Images drawn in one pass; a draw belongs to its pass, so another number gives other images."""


@final
@dataclass(frozen=True)
class FromNoise:
    """`network(noise [n, latent], labels [n])` gives images in [0, 1]. Drawing is post-processing: free.

    `network` must be released already, or public.
    """

    network: nn.Module
    latent: int
    info: DatasetInfo

    def to(self, device: torch.device) -> FromNoise:
        """The same, moved to `device`."""
        self.network.to(device)
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """The weights of the network."""
        return self.network.state_dict()

    def sample(
        self, count: int, *, labels: Tensor | None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        labels = wanted_labels(count, labels, self.info)
        images = torch.empty((count, *self.info.shape))
        self.network.eval()
        with (progress or SilentProgress()).track("sample", count) as advance, torch.inference_mode():
            for start in range(0, count, AT_ONCE):
                rows = slice(start, min(start + AT_ONCE, count))
                images[rows] = self._draw(labels[rows], public_generator(seed, f"sample {start}")).cpu()
                advance(rows.stop - rows.start)
        return SyntheticDataset(images, labels, self.info.class_names)

    def _draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        device = next(self.network.parameters()).device
        noise = torch.randn(len(labels), self.latent, generator=generator)
        images: Tensor = self.network(noise.to(device), labels.to(device))
        return images.clamp(0, 1)


def wanted_labels(count: int, labels: Tensor | None, info: DatasetInfo) -> Tensor:
    """The labels that were asked for, or as many of each class, `[count]` on the CPU.

    Raises: `InvalidValue` for labels that are not `[count]` int64 values of `info`'s classes.
    """
    if labels is None:
        return torch.arange(count) * info.classes // max(count, 1)
    fits = labels.shape == (count,) and labels.dtype == torch.int64
    if not fits or not bool(((labels >= 0) & (labels < info.classes)).all()):
        raise InvalidValue(
            f"labels must be {count} int64 values from 0 to {info.classes - 1}; found {labels.dtype} "
            f"{list(labels.shape)}. Leave them out for as many of each class."
        )
    return labels.cpu()


def require_fitted(model: FromNoise | None) -> FromNoise:
    """The model, or `InvalidValue` where nothing was fitted or loaded yet."""
    if model is None:
        raise InvalidValue("expected a fitted generator; found a fresh one. Call `fit` or `load_state_dict` first.")
    return model
