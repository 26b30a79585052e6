"""A public source of images that evolution chooses from: random ones, and variations of given ones."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.mechanisms.context import RunContext


class ImageApi(ABC):
    """Two operations, both public: they never see a private image, nor anything that was not released.

    Equal generators give equal images, so that a run that was killed continues as if it had not been.
    """

    @abstractmethod
    def random(self, count: int, *, class_name: str | None, generator: torch.Generator) -> Tensor:
        """`count` images, float `[count, channels, height, width]` in [0, 1] on the CPU.

        Args: `class_name` of the private class that they are for, a public fact; None where it shall not be used. A
        source that does not know the name gives any images. `generator` on the CPU, public.
        """

    @abstractmethod
    def vary(self, images: Tensor, *, degree: float, generator: torch.Generator) -> Tensor:
        """One variation of each of `images`, as `random` returns them.

        Args: `degree` in [0, 1]: 0 leaves an image nearly as it is, 1 keeps little of it.
        """


class OffersImageApi(ABC):
    """A generator whose public training alone makes images: before any private image is seen it is an `ImageApi`."""

    @abstractmethod
    def image_api(self, public: PublicDataset, context: RunContext) -> ImageApi:
        """What training on `public` alone gives, resumable through `context.checkpoints`.

        No private image, no budget and no released model is at hand: the result is public.
        """
