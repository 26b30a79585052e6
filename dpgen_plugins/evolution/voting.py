"""One round's vote: which images of its class each private image is nearest to, counted with noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances
from torch import Tensor

from dpgen.budget import NeighboringRelation
from dpgen.events import DiscreteGaussian, DpEvent
from dpgen.mechanisms.histogram import NO_VOTE, NoisyHistogram

Floats: TypeAlias = NDArray[np.float64]
Extract: TypeAlias = Callable[[Tensor], Floats]

GRID: Final = 1024
"""Steps of a feature's deviation. On the grid squared distances are whole numbers, exact in whatever order they are
summed: of equal ones the first candidate wins, whichever batch a record is in. A rounding that turned a tie would let
one record move another's vote."""
LARGEST: Final = 2.0**18
"""Beyond this many steps a feature counts as this much: the squares of 10,000 of them still add up exactly."""


def round_label(round_: int) -> str:
    """The label of a round's charge; they count from 1."""
    return f"votes-{round_ + 1}"


def votes_event(votes: int, scale: float, relation: NeighboringRelation) -> DpEvent:
    """What one round costs, whatever the population."""
    return NoisyHistogram(cells=1, votes=votes, scale=scale, vote=_nobody).event(relation)


def round_votes(vote: NearestVotes, *, votes: int, planned: DpEvent, phase: str) -> NoisyHistogram:
    """The mechanism of a round whose planned charge is `planned`, a `DiscreteGaussian`."""
    assert isinstance(planned, DiscreteGaussian), "made by votes_event"
    return NoisyHistogram(cells=vote.cells, votes=votes, scale=planned.scale, vote=vote, phase=phase)


@dataclass(frozen=True)
class NearestVotes:
    """Each image votes for the `votes` members of its own class whose features are nearest in Euclidean distance.

    What it returns for a record follows from that record and the population alone. A label outside the declared
    classes has no vote.
    """

    candidates: Sequence[Floats]
    """For each class, features `[population, d]` of its images; public or post-processing of releases."""
    extract: Extract
    votes: int

    @property
    def cells(self) -> int:
        """Members of all classes, class after class."""
        return sum(map(len, self.candidates))

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cells `class * population + member`, nearest first, int64 `[n, votes]`."""
        features, found = self._snapped(self.extract(images)), torch.full((len(images), self.votes), NO_VOTE)
        first = 0
        for own, candidates in enumerate(self._targets):
            rows = (labels == own).nonzero()[:, 0]
            if len(rows):
                distances = euclidean_distances(features[rows.numpy()], candidates, squared=True)
                found[rows] = first + torch.from_numpy(_nearest(distances, self.votes))
            first += len(candidates)
        return found

    @cached_property
    def _targets(self) -> list[Floats]:
        return [self._snapped(rows) for rows in self.candidates]

    @cached_property
    def _scale(self) -> float:
        """One for all features: it leaves the order of distances alone."""
        return max(float(np.concatenate(self.candidates).std()), 1e-9)

    def _snapped(self, features: Floats) -> Floats:
        snapped: Floats = np.clip(np.rint(features * (GRID / self._scale)), -LARGEST, LARGEST)
        return snapped


def _nearest(distances: Floats, count: int) -> NDArray[np.int64]:
    """The columns of the `count` smallest distances of each row, `[n, count]`; of equal ones the first."""
    left, rows, found = distances.copy(), np.arange(len(distances)), []
    for _ in range(count):
        found.append(left.argmin(axis=1))
        left[rows, found[-1]] = np.inf
    return np.stack(found, axis=1)


def _nobody(images: Tensor, labels: Tensor) -> Tensor:
    return torch.empty((len(images), 0), dtype=torch.int64)
