"""What the checks of an accountant are given: the events that it prices, and its prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, final

from dpgen.accountants.base import Accountant
from dpgen.budget import ADD_OR_REMOVE_ONE, NeighboringRelation
from dpgen.errors import UnsupportedEvent
from dpgen.events import (
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    PoissonSampled,
    SelfComposed,
)

DELTA: Final = 1e-5
FORMS: Final[tuple[Callable[[float], DpEvent], ...]] = (
    Gaussian,
    lambda noise: DiscreteGaussian(4 * noise, 2),
    lambda noise: Laplace(2 * noise),
    lambda noise: SelfComposed(PoissonSampled(0.05, Gaussian(noise)), 20),
    lambda noise: Composed((Gaussian(2 * noise), DiscreteGaussian(5 * noise, 3))),
    lambda noise: EpsilonDelta(1 / noise, 0.0),
)
"""Kinds of events by how much noise they have."""


@final
@dataclass(frozen=True)
class AccountantTrial:
    """An accountant, which of the events it prices, and the prices that several checks look at."""

    subject: Accountant
    _known: dict[tuple[DpEvent, float, NeighboringRelation], float] = field(default_factory=dict)

    def upper(
        self, event: DpEvent, *, delta: float = DELTA, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
    ) -> float:
        """What would be charged; of an approximation, what it estimates. Asked once for each question."""
        asked = (event, delta, relation)
        if asked not in self._known:
            bound = self.subject.epsilon(event, delta=delta, relation=relation)
            self._known[asked] = bound.estimate if bound.kind == "approximation" else bound.upper
        return self._known[asked]

    def supports(self, event: DpEvent, relation: NeighboringRelation = ADD_OR_REMOVE_ONE, delta: float = DELTA) -> bool:
        """Does it price `event`? An approximation may try, and find that it cannot."""
        if not self.subject.supports(event, relation=relation):
            return False
        if self.subject.kind == "approximation":
            try:
                self.upper(event, delta=delta, relation=relation)
            except UnsupportedEvent:
                return False
        return True

    def forms(self, relation: NeighboringRelation = ADD_OR_REMOVE_ONE) -> Iterator[Callable[[float], DpEvent]]:
        """Those of `FORMS` that it supports."""
        return (form for form in FORMS if self.supports(form(1.0), relation))

    def priced(self) -> Iterator[tuple[DpEvent, NeighboringRelation]]:
        """An event of each form that it supports, with the relation."""
        for relation in NeighboringRelation:
            yield from ((form(1.0), relation) for form in self.forms(relation))
