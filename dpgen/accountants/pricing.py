"""What a plan costs, charge by charge and in total."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpgen.accountants.base import Accountant, Bound
from dpgen.budget import Budget, Plan
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, PoissonSampled, SelfComposed


@dataclass(frozen=True, slots=True)
class PricedCharge:
    """One line of a price list.

    `noise_multiplier` is None where the event has none, or more than one. `own` is the price of this charge alone,
    `cumulative` that of all charges up to and including it; both are at the full delta of the budget.
    """

    label: str
    event: DpEvent
    noise_multiplier: float | None
    own: Bound
    cumulative: Bound

    @property
    def own_epsilon(self) -> float:
        """Upper end of `own`."""
        return self.own.upper

    @property
    def cumulative_epsilon(self) -> float:
        """Upper end of `cumulative`; in the last line it is the price of the plan."""
        return self.cumulative.upper


def price(plan: Plan, accountant: Accountant, budget: Budget) -> tuple[PricedCharge, ...]:
    """The charges of `plan` with their prices at `budget.delta` under `budget.relation`. Reads no data.

    Raises: `UnsupportedEvent` from the accountant.
    """
    lines: list[PricedCharge] = []
    for index, charge in enumerate(plan.charges):
        own = _epsilon(charge.event, accountant, budget)
        so_far = Composed(tuple(earlier.event for earlier in plan.charges[: index + 1]))
        cumulative = own if index == 0 else _epsilon(so_far, accountant, budget)
        lines.append(PricedCharge(charge.label, charge.event, noise_multiplier(charge.event), own, cumulative))
    return tuple(lines)


def total(plan: Plan, accountant: Accountant, budget: Budget) -> Bound:
    """The epsilon of the whole plan at `budget.delta` under `budget.relation`.

    Raises: `UnsupportedEvent` from the accountant.
    """
    return _epsilon(plan.event, accountant, budget)


def noise_multiplier(event: DpEvent) -> float | None:
    """Deviation / add-or-remove-one bound of the one kind of noise in `event`; None when there is none, or several.

    Of discrete noise it is scale / sqrt(touched): `touched` cells moved by one count each are sqrt(touched) in L2.
    """
    match event:
        case Gaussian(noise_multiplier=value):
            return value
        case DiscreteGaussian(scale=scale, touched=touched) if touched > 0:
            return scale / math.sqrt(touched)
        case PoissonSampled(event=inner) | SelfComposed(event=inner):
            return noise_multiplier(inner)
        case Composed(events=events):
            found = {noise_multiplier(inner) for inner in events} - {None}
            return found.pop() if len(found) == 1 else None
    return None


def _epsilon(event: DpEvent, accountant: Accountant, budget: Budget) -> Bound:
    return accountant.epsilon(event, delta=budget.delta, relation=budget.relation)
