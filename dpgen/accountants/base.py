"""The contract of an accountant: pure mathematics, an event in, a `Bound` out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dpgen.budget import BoundKind, NeighboringRelation
from dpgen.events import DpEvent


@dataclass(frozen=True, slots=True)
class Bound:
    """An enclosure of the true value: `lower <= truth <= upper`, `estimate` between them.

    `lower` is 0 and `upper` is infinity where nothing better is known. What `kind` promises is said in `dpgen.budget`.
    """

    lower: float
    estimate: float
    upper: float
    kind: BoundKind


class Accountant(ABC):
    """Prices events. Has settings, never state: the same question always has the same answer."""

    name: ClassVar[str]
    """Selected by this name, in the configuration and on the command line."""

    kind: ClassVar[BoundKind]
    """What its bounds are worth; a ledger refuses to enforce a budget with an `approximation`."""

    cites: ClassVar[tuple[str, ...]] = ()
    """References, one line each, spelt as those of a generator."""

    @property
    @abstractmethod
    def adaptive(self) -> bool:
        """May later charges depend on earlier outputs? Only then may a ledger work without an adopted plan."""

    @abstractmethod
    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """Is there a proved price for the whole tree `event` under `relation`?"""

    @abstractmethod
    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """The smallest epsilon for which `event` is (epsilon, delta)-DP under `relation`, enclosed.

        Raises: `UnsupportedEvent` when `supports` is false; `InvalidValue` for delta outside (0, 1).
        """

    @abstractmethod
    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """The smallest delta for which `event` is (epsilon, delta)-DP under `relation`, enclosed.

        Raises: `UnsupportedEvent` when `supports` is false; `InvalidValue` for a negative epsilon.
        """
