"""The sum of one bounded vector per record, with Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.events import DpEvent, Gaussian
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.bounded_sum import BoundedSum, Vectors
from dpgen.mechanisms.context import RunContext
from dpgen.noise import NoiseSource


@final
@dataclass(frozen=True, kw_only=True)
class GaussianSum(Mechanism[Tensor]):
    """Release the sum over records of `vectors`, each clipped to L2 norm `clip_norm`, plus Gaussian noise.

    A vector with a NaN or an infinity counts as zero. Divide by public constants only (`info.nominal_records`), or
    carry a count as one more coordinate. Reads `batch` records at a time; the sum is in float64. With `classes` there
    is one sum for each class, at the price of one: a record is in the sum of its own class alone.

    Privacy: `Gaussian(noise_multiplier)`; the noise has deviation `noise_multiplier * clip_norm` per coordinate, and
    one record moves the sum by at most `clip_norm` (add or remove) or `2 * clip_norm` (replace).
    Returns: `[dimension]`, or `[classes, dimension]`, float64 on the CPU, safe to publish once charged.
    Raises: `InvalidValue` on construction; `DataError` when `vectors` has another shape than declared, or when a label
    lies outside `classes`.
    """

    name: ClassVar[str] = "gaussian_sum"

    vectors: Vectors
    dimension: int
    clip_norm: float
    noise_multiplier: float
    classes: int | None = None
    batch: int = 1024
    phase: str = "gaussian sum"

    def __post_init__(self) -> None:
        validate.not_negative(noise_multiplier=self.noise_multiplier)
        self._sum()

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """The same under both relations: a noise multiplier is stated for add-or-remove-one."""
        return Gaussian(self.noise_multiplier)

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the sum, in L2 norm."""
        return self.clip_norm * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        with context.progress.track(self.phase, 1) as advance:  # how many batches there are is private
            total = self._sum().over(records, records.ids)
            advance(1)
        released = noise.gaussian(
            total.numpy(),
            standard_deviation=self.noise_multiplier * self.clip_norm,
            sensitivity=self.sensitivity(relation),
        )
        return torch.from_numpy(released)

    def _sum(self) -> BoundedSum:
        return BoundedSum(
            vectors=self.vectors,
            dimension=self.dimension,
            clip_norm=self.clip_norm,
            classes=self.classes,
            batch=self.batch,
        )
