"""The sum of one bounded vector per record, with Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.errors import DataError
from dpgen.events import DpEvent, Gaussian
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.noise import NoiseSource

Vectors = Callable[[Tensor, Tensor], Tensor]
"""(images `[n, channels, height, width]`, labels `[n]`, on the CPU) -> `[n, dimension]`, each from its record."""


@final
@dataclass(frozen=True, kw_only=True)
class GaussianSum(Mechanism[Tensor]):
    """Release the sum over records of `vectors`, each clipped to L2 norm `clip_norm`, plus Gaussian noise.

    A vector with a NaN or an infinity counts as zero. Divide by public constants only (`info.nominal_records`), or
    carry a count as one more coordinate. Reads `batch` records at a time; the sum is in float64.

    Privacy: `Gaussian(noise_multiplier)`; the noise has deviation `noise_multiplier * clip_norm` per coordinate, and
    one record moves the sum by at most `clip_norm` (add or remove) or `2 * clip_norm` (replace).
    Returns: `[dimension]` float64 on the CPU, safe to publish once charged.
    Raises: `InvalidValue` on construction; `DataError` when `vectors` has another shape than declared.
    """

    name: ClassVar[str] = "gaussian_sum"

    vectors: Vectors
    dimension: int
    clip_norm: float
    noise_multiplier: float
    batch: int = 1024
    phase: str = "gaussian sum"

    def __post_init__(self) -> None:
        validate.count(1, dimension=self.dimension, batch=self.batch)
        validate.positive(clip_norm=self.clip_norm)
        validate.not_negative(noise_multiplier=self.noise_multiplier)

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """The same under both relations: a noise multiplier is stated for add-or-remove-one."""
        return Gaussian(self.noise_multiplier)

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the sum, in L2 norm."""
        return self.clip_norm * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        total = torch.zeros(self.dimension, dtype=torch.float64)
        with context.progress.track(self.phase, 1) as advance:  # how many batches there are is private
            for first in range(0, len(records.ids), self.batch):
                total += self._clipped(*records.batch(records.ids[first : first + self.batch])).sum(0)
            advance(1)
        released = noise.gaussian(
            total.numpy(),
            standard_deviation=self.noise_multiplier * self.clip_norm,
            sensitivity=self.sensitivity(relation),
        )
        return torch.from_numpy(released)

    def _clipped(self, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad(), discreet("vectors"):
            vectors = self.vectors(images, labels).to("cpu", torch.float64)
        if vectors.shape[1:] != (self.dimension,) or len(vectors) != len(images):
            raise DataError(
                f"vectors must be [records, {self.dimension}]; found [..., {list(vectors.shape)[1:]}]. "
                "Give one vector per record and declare its `dimension`."
            )
        norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        factors = (self.clip_norm / norms).clamp(max=1.0)  # min(1, C / norm); a norm of 0 gives 1
        return torch.where(norms.isfinite(), vectors * factors, 0.0)  # where(): 0 * NaN would be NaN
