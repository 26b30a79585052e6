"""Public randomness that belongs to one image of a sample each, so that no image depends on what is drawn beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

from dpgen.mechanisms.context import public_generator
from dpgen.noise import RowRandom


@final
class ImageRandom(RowRandom):
    """One row for each image; image i has a stream of its own, keyed by the public `seed` and i.

    So an image is the same in a batch of any size and in any process. Drawn on the CPU, and so the same for every
    device; then moved to `device`.
    """

    def __init__(self, seed: int, images: Iterable[int], device: torch.device) -> None:
        self._generators = [public_generator(seed, f"sample {image}") for image in images]
        self._device = device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[images, *shape]`."""
        return torch.stack([torch.randn(shape, generator=own) for own in self._generators]).to(self._device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[images, *shape]`."""
        return torch.stack([torch.rand(shape, generator=own) for own in self._generators]).to(self._device)
