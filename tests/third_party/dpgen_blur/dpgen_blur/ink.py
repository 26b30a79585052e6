"""A mechanism of its own: where do the images of each class have ink?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from dpgen import (
    REPLACE_ONE,
    DatasetInfo,
    DpEvent,
    Mechanism,
    NeighboringRelation,
    NoiseSource,
    Records,
    RunContext,
    validate,
)
from dpgen.events import DiscreteGaussian
from dpgen.mechanisms.discreet import discreet


@final
@dataclass(frozen=True, kw_only=True)
class InkCounts(Mechanism[Tensor]):
    """For each class and pixel, how many images are brighter there than `threshold`, plus discrete Gaussian noise.

    Privacy: an image adds at most one to each pixel of its own class, so it touches as many cells as there are pixels
    (twice as many under replace-one, where another image may take its place in another class).
    Returns: int64 `[classes, channels, height, width]`; may be negative.
    """

    name = "ink_counts"

    info: DatasetInfo
    scale: float
    threshold: float = 0.5

    def __post_init__(self) -> None:
        validate.positive(scale=self.scale)

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """One `DiscreteGaussian` for the counts of all classes together."""
        return DiscreteGaussian(scale=self.scale, touched=self._touched(relation))

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Each touched cell moves by one."""
        return math.sqrt(self._touched(relation))

    def _touched(self, relation: NeighboringRelation) -> int:
        return math.prod(self.info.shape) * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        counts = torch.zeros(self.info.classes, *self.info.shape, dtype=torch.int64)
        for start in range(0, len(records.ids), context.physical_batch):
            images, labels = records.batch(records.ids[start : start + context.physical_batch])
            with discreet("labels"):  # the text of an error could quote one
                counts.index_add_(0, labels, (images > self.threshold).long())
        noisy = noise.discrete_gaussian(counts.numpy(), scale=self.scale, sensitivity=self.sensitivity(relation))
        return torch.from_numpy(np.asarray(noisy, dtype=np.int64))
