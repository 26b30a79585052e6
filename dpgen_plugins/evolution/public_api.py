"""The public set as a source of images: a variation is a near public neighbour, slightly deformed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Final, final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.generators.image_api import ImageApi
from dpgen.networks.augment import PHOTOGRAPH, Augmentation
from dpgen_plugins.evolution.voting import Floats

AT_ONCE: Final = 500
KEPT: Final = 64
"""Answers of the search for neighbours that are kept: of so many times `AT_ONCE` images."""
DRAWN: Final = Augmentation(rotation=0.2, shear=0.2, scale=0.12, shift=0.04, elastic=0.015, thickness=0.5)
"""Deformation of grey images, which are mostly drawn shapes, at degree 1; colour ones vary as photographs."""


class PublicOptions(BaseModel):
    """`api.options` of the source `public`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    neighbours: int = Field(default=200, ge=1)
    """public images that a variation of degree 1 is drawn from; fewer at a smaller degree, in proportion"""
    jitter: float = Field(default=1.0, ge=0)
    """strength of the deformation at degree 1"""


@final
class PublicImages(ImageApi):
    """Random: public images, of the class's name where the public set has it. Vary: a near one, deformed by `degree`.

    A variation of degree 0 is the image itself. Otherwise it starts from a public image, not from the one it varies:
    deformations do not pile up, so images stay sharp.
    Source: the simulator form of Private Evolution (Lin et al. 2025, arXiv 2502.05505), whose data sets are these.
    """

    def __init__(self, public: PublicDataset, extract: Callable[[Tensor], Floats], options: PublicOptions) -> None:
        self._public, self._extract, self._options = public, extract, options
        features = np.concatenate([extract(part).astype(np.float32) for part in torch.split(public.images, AT_ONCE)])
        self._most = min(len(public), options.neighbours)
        self._index = NearestNeighbors(n_neighbors=self._most, algorithm="brute").fit(features)
        self._found: dict[bytes, Tensor] = {}

    def random(self, count: int, *, class_name: str | None, generator: torch.Generator) -> Tensor:
        """See `ImageApi.random`."""
        images, names = self._public.images, self._public.class_names
        if class_name in names:
            images = self._public.where([names.index(class_name)]).images
        return images[torch.randint(len(images), (count,), generator=generator)].float() / 255

    def vary(self, images: Tensor, *, degree: float, generator: torch.Generator) -> Tensor:
        """See `ImageApi.vary`."""
        if degree == 0:
            return images
        parts = [self._varied(part, degree, generator) for part in torch.split(images, AT_ONCE)]
        return torch.cat(parts)

    def _varied(self, images: Tensor, degree: float, generator: torch.Generator) -> Tensor:
        near = max(1, math.ceil(degree * self._most))
        pick = torch.randint(near, (len(images), 1), generator=generator)
        start = self._public.images[self._neighbours(images).gather(1, pick)[:, 0]].float() / 255
        strength = degree * self._options.jitter
        whole = DRAWN if start.shape[1] == 1 else PHOTOGRAPH
        return whole.times(strength)(start, generator) if strength else start

    def _neighbours(self, images: Tensor) -> Tensor:
        """The nearest public images of each, nearest first, int64 `[n, most]`; the last few answers are kept.

        The variations of a round's lookahead are all of the same images, and the search is what takes the time.
        """
        key = hashlib.blake2b(images.contiguous().numpy().tobytes()).digest()
        if key not in self._found:
            if len(self._found) >= KEPT:
                self._found.pop(next(iter(self._found)))
            found = self._index.kneighbors(self._extract(images).astype(np.float32), return_distance=False)
            self._found[key] = torch.from_numpy(np.asarray(found, dtype=np.int64))
        return self._found[key]
