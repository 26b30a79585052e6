"""What may be spent, what was planned, and what was proved. No mathematics and no state."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeVar

from dpgen import validate
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import Composed, DpEvent

Event = TypeVar("Event", bound=DpEvent)
BoundKind = Literal["certified", "bound", "approximation"]
"""certified: holds with rounding included. bound: proved in exact arithmetic. Both may enforce a budget.
approximation: for searching and comparing only; it never enforces a budget."""


class NeighboringRelation(StrEnum):
    """Which two data sets must be hard to tell apart."""

    ADD_OR_REMOVE_ONE = "add_or_remove_one"
    REPLACE_ONE = "replace_one"


VALIDATION = "validation"
"""Label of the charge of a noisy validation, which chooses among classifiers; the last one of a plan."""

EARLIER_RELEASE = "earlier-release"
"""Label of what an earlier run charged whose release is this run's public set; the first one of a plan."""

ADD_OR_REMOVE_ONE = NeighboringRelation.ADD_OR_REMOVE_ONE
REPLACE_ONE = NeighboringRelation.REPLACE_ONE


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent: epsilon > 0, 0 < delta < 1, and the relation it is meant for (never defaulted).

    Raises: `InvalidValue` for an epsilon or delta out of range.
    """

    epsilon: float
    delta: float
    relation: NeighboringRelation

    def __post_init__(self) -> None:
        validate.positive(epsilon=self.epsilon)
        validate.open_unit(delta=self.delta)
        object.__setattr__(self, "relation", NeighboringRelation(self.relation))


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What was proved: the released outputs are (`epsilon_upper`, `delta`)-differentially private for `relation`."""

    epsilon_upper: float
    delta: float
    relation: NeighboringRelation
    accountant: str
    kind: BoundKind
    caveats: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The guarantee as plain JSON data; keys are the field names."""
        return {
            "epsilon_upper": self.epsilon_upper,
            "delta": self.delta,
            "relation": str(self.relation),
            "accountant": self.accountant,
            "kind": self.kind,
            "caveats": list(self.caveats),
        }

    def for_group(self, size: int) -> tuple[float, float]:
        """(epsilon, delta) for a group of `size` records, for instance all images of one person.

        A chain of `size` neighbours gives epsilon * size and delta * (e^(size epsilon) - 1) / (e^epsilon - 1), at
        most 1. Source: Vadhan 2017, The Complexity of Differential Privacy, lemma 2.2 (its sum kept exact).
        """
        validate.count(1, size=size)
        growth = sum(math.exp(min(i * self.epsilon_upper, 700.0)) for i in range(size))
        return size * self.epsilon_upper, min(1.0, self.delta * growth)


@dataclass(frozen=True, slots=True)
class Charge:
    """One planned or recorded cost: `label` names it uniquely within a run, `event` says what is done."""

    label: str
    event: DpEvent

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label or not self.label.isprintable():
            raise InvalidValue(f"a charge needs a printable label such as 'finetune'; found {self.label!r}.")

    def to_json(self) -> dict[str, Any]:
        """`{"label": ..., "event": ...}`."""
        return {"label": self.label, "event": self.event.to_json()}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run will charge, in order, fixed before data is opened.

    `notes` are sentences for people (what the query costs in noise, say); they carry no meaning for the ledger.
    """

    charges: tuple[Charge, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "charges", tuple(self.charges))
        object.__setattr__(self, "notes", tuple(self.notes))
        repeated = [label for label, times in Counter(c.label for c in self.charges).items() if times > 1]
        if repeated:
            raise InvalidValue(
                f"labels in a plan must be unique; found {repeated} more than once. "
                "Give each charge its own label, or plan one SelfComposed event."
            )

    @property
    def event(self) -> DpEvent:
        """The composition of all charges: what the plan costs is the price of this event."""
        return Composed(tuple(charge.event for charge in self.charges))

    def __contains__(self, label: object) -> bool:
        """Is a charge planned under `label`?"""
        return any(charge.label == label for charge in self.charges)

    def __getitem__(self, label: str) -> DpEvent:
        """The event planned under `label`. Raises `InvalidValue` when there is none."""
        for charge in self.charges:
            if charge.label == label:
                return charge.event
        raise InvalidValue(f"the plan has the charges {[c.label for c in self.charges]}; found no {label!r}.")

    def of_kind(self, label: str, kind: type[Event]) -> Event:
        """The event planned under `label`, which must be a `kind`. Raises: `PlanMismatch` else; `InvalidValue`."""
        planned = self[label]
        if not isinstance(planned, kind):
            raise PlanMismatch(expected=f"a {kind.__name__} event under {label!r}", got=str(planned))
        return planned
