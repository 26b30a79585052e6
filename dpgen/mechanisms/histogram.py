"""A histogram of votes with exact discrete Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.errors import DataError
from dpgen.events import DiscreteGaussian, DpEvent
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.places import in_their_places
from dpgen.noise import NoiseSource

Vote = Callable[[Tensor, Tensor], Tensor]
"""(images `[n, channels, height, width]`, labels `[n]`, on the CPU) -> int64 `[n, m]` cell indices, -1 for no vote."""

NO_VOTE: Final = -1


@final
@dataclass(frozen=True, kw_only=True)
class NoisyHistogram(Mechanism[Tensor]):
    """Release how many records vote for each of `cells` cells, plus discrete Gaussian noise of parameter `scale`.

    A record's votes are read from left to right and the first `votes` distinct cells count, once each. All else is
    dropped: later votes, repeated ones, and those outside 0..cells-1. The bound holds whatever `vote` returns; only
    a `vote` that lets one record change another's votes would break it.

    Privacy: `DiscreteGaussian(scale, touched)` with `touched` = `votes` (add or remove) or `2 * votes` (replace);
    the L2 sensitivity is sqrt(touched), and the noise is the same under both relations.
    Returns: int64 `[cells]` on the CPU, may be negative; safe to publish once charged.
    Raises: `InvalidValue` on construction; `DataError` when `vote` returns another shape or dtype.
    Source: Canonne, Kamath, Steinke 2020 (arXiv 2004.00010).
    """

    name: ClassVar[str] = "noisy_histogram"
    cites: ClassVar[tuple[str, ...]] = (
        "Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. arXiv 2004.00010",
    )

    cells: int
    votes: int
    scale: float
    vote: Vote
    phase: str = "histogram"

    def __post_init__(self) -> None:
        validate.count(1, cells=self.cells, votes=self.votes)
        validate.positive(scale=self.scale)

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """What one release does; `touched` counts the cells that neighbours can differ in."""
        return DiscreteGaussian(scale=self.scale, touched=self._touched(relation))

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the counts, in L2 norm: `touched` cells move by one each."""
        return math.sqrt(self._touched(relation))

    def _touched(self, relation: NeighboringRelation) -> int:
        return self.votes * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        counts = torch.zeros(self.cells, dtype=torch.int64)
        with context.progress.track(self.phase, 1) as advance:  # how many batches there are is private
            for images, labels, places in in_their_places(records, context.physical_batch):
                counts += self._counted(images, labels, places)
            advance(1)
        released = noise.discrete_gaussian(counts.numpy(), scale=self.scale, sensitivity=self.sensitivity(relation))
        return torch.from_numpy(released)

    def _counted(self, images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        with torch.no_grad(), discreet("vote"):
            votes = self.vote(images, labels).cpu()
        if votes.ndim != 2 or len(votes) != len(images) or votes.dtype != torch.int64:
            raise DataError(
                f"votes must be int64 [records, m]; found {votes.dtype} with {votes.ndim} axes. "
                "Return one row of cell indices per record, -1 for no vote."
            )
        kept = _first_distinct(votes[places], cells=self.cells, limit=self.votes)
        return torch.bincount(kept[kept != NO_VOTE], minlength=self.cells)


def _first_distinct(votes: Tensor, *, cells: int, limit: int) -> Tensor:
    """The first `limit` distinct cells of each row; everything else becomes `NO_VOTE`."""
    inside = (votes >= 0) & (votes < cells)
    votes = torch.where(inside, votes, NO_VOTE)
    repeated = (votes[:, :, None] == votes[:, None, :]).tril(diagonal=-1).any(2)
    counts = (votes != NO_VOTE) & ~repeated
    return torch.where(counts & (counts.cumsum(1) <= limit), votes, NO_VOTE)
