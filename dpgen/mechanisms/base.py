"""The contracts of a mechanism: what it may read (`Records`), what it costs, how it measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dpgen.budget import NeighboringRelation
from dpgen.events import DpEvent
from dpgen.noise import NoiseSource

if TYPE_CHECKING:
    from dpgen.mechanisms.context import RunContext

R = TypeVar("R")
Ids = NDArray[np.int64]


class Records(ABC):
    """The private records, as a mechanism sees them: stable ids, and a batch of images and labels for given ids.

    An id belongs to its record for ever: removing another record never changes it. How many there are is private.
    """

    @property
    @abstractmethod
    def ids(self) -> Ids:
        """The id of every record, `[n]`, distinct, ascending."""

    @abstractmethod
    def batch(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Images `[len(ids), channels, height, width]` float32 in [0, 1] and labels `[len(ids)]` int64, on the CPU."""


class Mechanism(ABC, Generic[R]):
    """One way to learn something about private records, and its price.

    Fields are public settings; private values arrive only as arguments of `_measure`. The cost and the sensitivity
    come from the same fields that shape the measurement, so they cannot drift apart.
    """

    name: ClassVar[str]
    """Selected by this name in the registry."""
    collective: ClassVar[bool] = False
    """Do all processes of a run measure together, through `context.world`? Else the first one does, for all of them."""
    cites: ClassVar[tuple[str, ...]] = ()
    """References, one line each, spelt as those of a generator."""

    @abstractmethod
    def event(self, relation: NeighboringRelation) -> DpEvent:
        """What one release does, priced under `relation`. Computed from public settings alone."""

    @abstractmethod
    def sensitivity(self, relation: NeighboringRelation) -> float:
        """How far (L2 norm) the noiseless value can move between neighbours under `relation`."""

    @abstractmethod
    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> R:
        """Read the records, add noise from `noise`, return the release. Called only by `PrivateDataset.release`.

        `noise` is already addressed by the charge's label, so equal settings under two labels never share a draw.
        Long measurements save their progress through `context.checkpoints` and continue from it.
        """
