"""Tiny settings of Private Evolution, for 8 x 8 images without public data: what the conformance kit looks at."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators.base import Generator
from dpgen.generators.image_api import ImageApi
from dpgen_plugins.evolution.pe import Pe


@final
class Blots(ImageApi):
    """Images of random grey; a variation mixes in another one. An API in as few lines as one can have."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def random(self, count: int, *, class_name: str | None, generator: torch.Generator) -> Tensor:
        """See `ImageApi.random`."""
        grey = torch.rand(count, 1, 1, 1, generator=generator)
        return (grey * (0.5 + torch.rand(count, *self._shape, generator=generator))).clamp(0, 1)

    def vary(self, images: Tensor, *, degree: float, generator: torch.Generator) -> Tensor:
        """See `ImageApi.vary`."""
        return (1 - degree) * images + degree * self.random(len(images), class_name=None, generator=generator)


def blots(info: DatasetInfo, public: PublicDataset | None) -> Blots:
    """The API of the example below; a function of this form is what `api.source` names."""
    return Blots(info.shape)


def examples() -> list[Generator]:
    """Five images of each class, two rounds, and votes by pixels."""
    settings = {
        "api": {"source": f"{__name__}:{blots.__name__}"},
        "population": 5,
        "degrees": [0.5, 0.2],
        "voting": {"votes": 2, "lookahead": 2, "features": "pixel_cosines"},
    }
    return [Pe(Pe.Config.model_validate(settings))]
