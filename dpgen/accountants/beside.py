"""Pricing a plan together with what is charged besides it."""

from __future__ import annotations

from typing import final

from dpgen.accountants.base import Accountant, Bound
from dpgen.budget import BoundKind, NeighboringRelation
from dpgen.events import Composed, DpEvent


@final
class Beside(Accountant):
    """`accountant`, for a world in which `event` is charged first, whatever else is.

    A plan whose price by it meets a budget leaves just the room that `event` takes in the whole composition: nothing is
    set aside, so nothing is lost. Made for one plan; it is not registered.
    """

    def __init__(self, accountant: Accountant, event: DpEvent) -> None:
        self.accountant, self.event = accountant, event

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the accountant."""
        return self.accountant.name

    @property
    def kind(self) -> BoundKind:  # type: ignore[override]
        """That of the accountant."""
        return self.accountant.kind

    @property
    def adaptive(self) -> bool:
        """As the accountant."""
        return self.accountant.adaptive

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`; of both events together."""
        return self.accountant.supports(self._whole(event), relation=relation)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; of both events together."""
        return self.accountant.epsilon(self._whole(event), delta=delta, relation=relation)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; of both events together."""
        return self.accountant.delta(self._whole(event), epsilon=epsilon, relation=relation)

    def _whole(self, event: DpEvent) -> DpEvent:
        return Composed((self.event, event))


def by_itself(accountant: Accountant) -> Accountant:
    """The accountant that prices an event as if nothing were charged beside it."""
    return by_itself(accountant.accountant) if isinstance(accountant, Beside) else accountant
