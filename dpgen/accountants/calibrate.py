"""From a budget to the least noise that meets it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import Budget
from dpgen.errors import CalibrationError, InvalidValue
from dpgen.events import DpEvent

EventFromValue = Callable[[float], DpEvent]

_PATIENCE = 3  # interpolations in a row that may fail to halve the bracket before a bisection


def calibrate(
    accountant: Accountant,
    budget: Budget,
    event_from_value: EventFromValue,
    *,
    lower: float = 1e-2,
    upper: float = 1e5,
    tolerance: float = 1e-4,
    search_only: bool = False,
) -> float:
    """The smallest value in [lower, upper] whose event meets `budget`, within the relative `tolerance`.

    The value must be such that a larger one never costs more: a noise multiplier, say. It is rounded up to a short
    decimal, and the returned value itself has been priced: its `upper` bound lies within the budget. Every tested
    value below value / (1 + tolerance) was over it.

    Privacy: none spent; everything here is computed from public settings.

    Args:
        accountant: whose `upper` bound must meet the budget.
        budget: epsilon, delta and relation.
        event_from_value: the whole event to be paid from `budget`, given the value.
        lower: start of the bracket, > 0.
        upper: end of the bracket, > lower.
        tolerance: relative, in (0, 1).
        search_only: allow an accountant of kind "approximation", compared by its estimate. Such a value is for
            looking around; it proves nothing.

    Raises: `CalibrationError` when even `upper` is over the budget, or the accountant proves nothing;
        `UnsupportedEvent` from the accountant; `InvalidValue` for a bracket or tolerance out of range.

    Example:
        >>> from dpgen.accountants import GdpAccountant
        >>> from dpgen.budget import ADD_OR_REMOVE_ONE
        >>> from dpgen.events import Gaussian
        >>> round(calibrate(GdpAccountant(), Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE), Gaussian), 2)
        3.73
    """
    validate.positive(lower=lower, upper=upper)
    validate.open_unit(tolerance=tolerance)
    if lower >= upper:
        raise InvalidValue(f"lower must be below upper; found lower={lower}, upper={upper}.")
    if accountant.kind == "approximation" and not search_only:
        raise CalibrationError(
            f"expected an accountant that proves its bounds; found {accountant.name!r}, an approximation. "
            "Calibrate with prv or rdp, or pass search_only=True for a value that proves nothing."
        )
    search = _Search(accountant, budget, event_from_value, low=lower, high=upper, tolerance=tolerance)
    _start(search)
    return search.run()


def _start(search: _Search) -> None:
    """Bracket a slow accountant by the cheap one: rdp's answer is close above, and its slope is about right."""
    rdp = RdpAccountant()
    event = search.event_from_value(search.high)
    if isinstance(search.accountant, RdpAccountant) or not rdp.supports(event, relation=search.budget.relation):
        return search.require_feasible()
    cheap = _Search(rdp, search.budget, search.event_from_value, low=search.low, high=search.high, tolerance=1e-3)
    try:
        cheap.require_feasible()
    except CalibrationError:
        return search.require_feasible()
    value = cheap.run()
    if not search.test(value) <= search.budget.epsilon:
        return search.require_feasible()
    here, further = cheap.price(value), cheap.price(value * 1.05)
    search.slope = math.log(further / here) / math.log(1.05) if further > 0 else None
    return None


@final
@dataclass
class _Search:
    """Regula falsi in (log value, log epsilon), kept inside a bracket whose upper end is known to meet the budget."""

    accountant: Accountant
    budget: Budget
    event_from_value: EventFromValue
    low: float  # over the budget, or not tested yet
    high: float  # meets the budget once `require_feasible` has passed or a `test` has met it
    tolerance: float
    slope: float | None = None  # d log epsilon / d log value, a guess
    tested: list[tuple[float, float]] = field(default_factory=list)  # (value, epsilon) with finite epsilon > 0

    def run(self) -> float:
        slow = 0
        while self.high / self.low > 1 + self.tolerance:
            width = math.log(self.high / self.low)
            guess = self._guess() if slow < _PATIENCE else None
            self.test(self._inside(guess if guess is not None else math.sqrt(self.low * self.high)))
            slow = 0 if guess is None or math.log(self.high / self.low) < width / 2 else slow + 1
        return self.high

    def require_feasible(self) -> None:
        """Raises `CalibrationError` when even the largest value is over the budget."""
        price = self.test(self.high)
        if not price <= self.budget.epsilon:
            raise CalibrationError(
                f"expected a value of at most {self.high:g} that meets epsilon={self.budget.epsilon:g} at "
                f"delta={self.budget.delta:g}; found epsilon={price:.4g} there by {self.accountant.name!r}. Raise the "
                "budget, take fewer steps or a smaller sampling probability, pay less for the rest, or raise `upper`."
            )

    def test(self, value: float) -> float:
        """The epsilon of `value`, after moving the end of the bracket that `value` belongs to."""
        epsilon = self.price(value)
        if 0 < epsilon < math.inf:
            self.tested.append((value, epsilon))
        if epsilon <= self.budget.epsilon:
            self.high = min(self.high, value)
        else:
            self.low = max(self.low, value)
        return epsilon

    def price(self, value: float) -> float:
        event, budget = self.event_from_value(value), self.budget
        bound: Bound = self.accountant.epsilon(event, delta=budget.delta, relation=budget.relation)
        return bound.estimate if bound.kind == "approximation" else bound.upper

    def _guess(self) -> float | None:
        """Where the line through the two tested prices nearest to the budget meets it; None without such a line."""
        nearest = sorted(self.tested, key=lambda point: abs(math.log(point[1] / self.budget.epsilon)))[:2]
        if len(nearest) == 2 and nearest[0][0] != nearest[1][0]:
            (value, epsilon), (other, other_epsilon) = nearest
            slope = math.log(epsilon / other_epsilon) / math.log(value / other)
        elif nearest and self.slope is not None:
            (value, epsilon), slope = nearest[0], self.slope
        else:
            return None
        if slope >= 0:
            return None
        exponent = math.log(self.budget.epsilon / epsilon) / slope
        return value * math.exp(exponent) if abs(exponent) < 50 else None

    def _inside(self, guess: float) -> float:
        """`guess` moved so far into the bracket that testing it must shrink it, then rounded up to a short decimal.

        Next to an end the test goes half a tolerance beyond it: when that test fails, the bracket is closed.
        """
        step = 1 + self.tolerance / 2
        value = min(max(guess, self.low * step), self.high / step)
        digits = 2 - math.floor(math.log10(self.tolerance)) - math.ceil(math.log10(value))
        rounded = math.ceil(value * 10.0**digits) / 10.0**digits
        return rounded if self.low < rounded < self.high else value
