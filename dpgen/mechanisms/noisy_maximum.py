"""Report noisy max: which of several counts is largest, at a price that does not depend on how many there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.errors import DataError
from dpgen.events import DpEvent, EpsilonDelta
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.discreet import discreet
from dpgen.mechanisms.places import in_their_places
from dpgen.noise import NoiseSource

Ballot = Callable[[Tensor, Tensor], Tensor]
"""(images `[n, channels, height, width]`, labels `[n]`, on the CPU) -> `[n, candidates]`, not 0: a vote for it."""


@final
@dataclass(frozen=True, kw_only=True)
class NoisyMaximum(Mechanism[Tensor]):
    """Release the index of the candidate with the most votes, after one-sided geometric noise on each count.

    A record votes for as many candidates as it likes, once each: whatever `ballot` returns counts as 0 or 1. The noisy
    counts are thrown away, so only the winner is known, not how good it is.

    Privacy: `EpsilonDelta(1 / scale, 0)` (add or remove), `EpsilonDelta(2 / scale, 0)` (replace), for any number of
    candidates, because counts only grow with a record. Proof: docs/explanation/proofs.md.
    Returns: int64 scalar on the CPU; of equal noisy counts the first one.
    Raises: `InvalidValue` on construction; `DataError` when `ballot` returns another shape.
    Source: Dwork and Roth 2014, claim 3.9; Ding et al. 2021 (arXiv 2105.07260) for one-sided noise.
    """

    name: ClassVar[str] = "noisy_maximum"

    candidates: int
    scale: int
    """Parameter of the noise, in votes: P(k) proportional to exp(-k / scale)."""
    ballot: Ballot
    phase: str = "validation"

    def __post_init__(self) -> None:
        validate.count(1, candidates=self.candidates, scale=self.scale)

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """What one release does: pure differential privacy."""
        moves = 2 if relation is REPLACE_ONE else 1
        return EpsilonDelta(math.nextafter(moves / self.scale, math.inf), 0.0)  # never below the true quotient

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the counts, in L2 norm: each moves by at most one, under either relation."""
        return math.sqrt(self.candidates)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        counts = torch.zeros(self.candidates, dtype=torch.int64)
        with context.progress.track(self.phase, 1) as advance:  # how many batches there are is private
            for images, labels, places in in_their_places(records, context.physical_batch):
                counts += self._votes(images, labels, places)
            advance(1)
        noisy = noise.geometric(counts.numpy(), scale=self.scale, sensitivity=self.sensitivity(relation))
        return torch.tensor(int(noisy.argmax()))  # numpy: the first of equals

    def _votes(self, images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        with torch.no_grad(), discreet("ballot"):
            votes = self.ballot(images, labels).cpu()
        if votes.shape != (len(images), self.candidates):
            raise DataError(
                f"a ballot must be [records, {self.candidates}]; found {votes.ndim} axes or another width. "
                "Return one row per record and one column per candidate."
            )
        return (votes[places] != 0).sum(0)
