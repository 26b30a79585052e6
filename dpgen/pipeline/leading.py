"""Charges that stand before those of the generator, and the room that they take in the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dpgen.accountants.base import Accountant
from dpgen.accountants.beside import Beside
from dpgen.budget import Charge, Plan


@dataclass(frozen=True, slots=True)
class Leading:
    """A charge that no generator plans, and the sentence that says in the plan why it is there."""

    charge: Charge
    note: str
    caveats: tuple[str, ...] = ()
    """What must be said beside the guarantee because of it."""


def beside(accountant: Accountant, leading: Sequence[Leading]) -> Accountant:
    """What the other parts of the plan are priced by, so that `leading` fits in front of them."""
    for part in leading:
        accountant = Beside(accountant, part.charge.event)
    return accountant


def in_front(plan: Plan, leading: Sequence[Leading]) -> Plan:
    """The whole plan: `leading` first."""
    charges = tuple(part.charge for part in leading)
    return Plan((*charges, *plan.charges), (*plan.notes, *(part.note for part in leading)))
