"""What a plan costs, charge by charge and in total."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpgen.accountants.base import Accountant, Bound
from dpgen.budget import Budget, Plan
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, OnShards, PoissonSampled, SelfComposed


@dataclass(frozen=True, slots=True)
class PricedCharge:
    """One line of a price list.

    `noise_multiplier` is None where the event has none, or more than one. `own` is the price of this charge alone,
    `cumulative` that of all charges up to and including it; both are at the full delta of the budget.
    `marginal_epsilon` is what leaving this charge out would take off the price of the plan. Prices grow more slowly
    than their sum, so it is less than `own_epsilon` as a rule.
    """

    label: str
    event: DpEvent
    noise_multiplier: float | None
    own: Bound
    cumulative: Bound
    marginal_epsilon: float

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
    priced: dict[tuple[DpEvent, ...], Bound] = {}

    def bound(*events: DpEvent) -> Bound:
        if events not in priced:
            priced[events] = _epsilon(events[0] if len(events) == 1 else Composed(events), accountant, budget)
        return priced[events]

    events = tuple(charge.event for charge in plan.charges)
    return tuple(
        PricedCharge(
            label=charge.label,
            event=charge.event,
            noise_multiplier=noise_multiplier(charge.event),
            own=bound(charge.event),
            cumulative=bound(*events[: index + 1]),
            marginal_epsilon=_saved(bound(*events), bound(*events[:index], *events[index + 1 :])),
        )
        for index, charge in enumerate(plan.charges)
    )


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
        case PoissonSampled(event=inner) | SelfComposed(event=inner) | OnShards(event=inner):
            return noise_multiplier(inner)
        case Composed(events=events):
            found = {noise_multiplier(inner) for inner in events} - {None}
            return found.pop() if len(found) == 1 else None
    return None


def _saved(whole: Bound, rest: Bound) -> float:
    if whole.upper == rest.upper:
        return 0.0  # infinite ones too
    return max(0.0, whole.upper - rest.upper)


def _epsilon(event: DpEvent, accountant: Accountant, budget: Budget) -> Bound:
    return accountant.epsilon(event, delta=budget.delta, relation=budget.relation)
