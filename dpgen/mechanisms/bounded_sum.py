"""The sum of one bounded vector per record, before any noise: private until a mechanism noises it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.errors import DataError
from dpgen.mechanisms.base import Ids, Records
from dpgen.mechanisms.discreet import discreet

Vectors = Callable[[Tensor, Tensor], Tensor]
"""(images `[n, channels, height, width]`, labels `[n]`, on the CPU) -> `[n, dimension]`, each from its record."""


@final
@dataclass(frozen=True, kw_only=True)
class BoundedSum:
    """Sums `vectors`, each clipped to L2 norm `clip_norm`, over records read `batch` at a time; in float64.

    With `classes` there is one sum for each class. That is the sum of longer vectors, zero but for the block of the
    record's class: as long as the short ones, so the clip bounds them too, and never held in memory.
    """

    vectors: Vectors
    dimension: int
    clip_norm: float
    classes: int | None
    batch: int

    def __post_init__(self) -> None:
        validate.count(1, dimension=self.dimension, batch=self.batch)
        validate.positive(clip_norm=self.clip_norm)
        if self.classes is not None:
            validate.count(1, classes=self.classes)

    def over(self, records: Records, ids: Ids) -> Tensor:
        """`[dimension]`, or `[classes, dimension]`, float64 on the CPU: one record moves it by at most `clip_norm`."""
        total = torch.zeros(self.classes or 1, self.dimension, dtype=torch.float64)
        for first in range(0, len(ids), self.batch):
            images, labels = records.batch(ids[first : first + self.batch])
            blocks = torch.zeros_like(labels) if self.classes is None else labels
            with discreet("classes"):
                total.index_add_(0, blocks, self.clipped(images, labels))
        return total[0] if self.classes is None else total

    def clipped(self, images: Tensor, labels: Tensor) -> Tensor:
        """`[n, dimension]` float64, each row of L2 norm `clip_norm` at most; a NaN or an infinity makes it zero."""
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
