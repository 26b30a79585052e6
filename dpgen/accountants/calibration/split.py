"""One budget shared out among several mechanisms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from dpgen import validate
from dpgen.accountants.base import Accountant
from dpgen.accountants.beside import by_itself
from dpgen.accountants.calibration.parameters import NOISE_MULTIPLIER, RealParameter
from dpgen.accountants.calibration.search import calibrate
from dpgen.accountants.pricing import PricedCharge, price
from dpgen.budget import Budget, Charge, Plan
from dpgen.errors import CalibrationError, InvalidValue
from dpgen.events import Composed, DpEvent

_EVEN = 0.02  # how far, in logarithms, marginal exchange rates may differ; what is lost is of second order in it
_ROUNDS = 30  # of the search for even rates; a handful suffice
_STEP = 1.02  # factor of the difference quotients: above what accountants leave open, below where prices bend


def variance(noise: float) -> float:
    """The utility cost of noise: its square."""
    return noise * noise


@final
@dataclass(frozen=True, slots=True)
class Part:
    """One mechanism of a plan, with one number to be solved.

    Args:
        label: of its charge.
        event_from_value: its event, given the number.
        parameter: range and direction of the number.
        share: the part, taken alone, costs this fraction of the budget's epsilon, in (0, 1), whatever is charged
            `Beside`. None: it takes what the parts with a share leave; several such parts share that at the least
            total `utility_cost`.
        utility_cost: what a value costs in usefulness, in one unit for all parts; it must rise as the value gets
            cheaper. The variance of noise when nothing is said; `lambda noise: 4 * noise**2` weighs it.
        value: the number itself, fixed beforehand: nothing is solved for this part, and the others share what it
            leaves.

    Raises: `InvalidValue` for a share outside (0, 1), a value outside the parameter's range, or both of them.
    """

    label: str
    event_from_value: Callable[[float], DpEvent]
    parameter: RealParameter = NOISE_MULTIPLIER
    share: float | None = None
    utility_cost: Callable[[float], float] = variance
    value: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None:
            validate.open_unit(share=self.share)
        if self.value is None:
            return
        if self.share is not None:
            raise InvalidValue(f"part {self.label!r} has a share and a value; found both. Give one of them.")
        if not self.parameter.lower <= self.value <= self.parameter.upper:
            raise InvalidValue(
                f"the value of part {self.label!r} must lie between {self.parameter.lower:g} and "
                f"{self.parameter.upper:g}; found {self.value:g}. Give one in this range."
            )


@final
@dataclass(frozen=True, slots=True)
class Split:
    """The solved values, by label, and the plan that they make."""

    plan: Plan
    values: Mapping[str, float]
    _problem: _Problem

    def prices(self) -> tuple[PricedCharge, ...]:
        """What each part costs alone, cumulatively, and marginally: what leaving it out would give back."""
        return price(self.plan, self._problem.accountant, self._problem.budget)

    def epsilon_per_log_value(self) -> dict[str, float]:
        """Of each part, d epsilon of the plan / d log value; a hundredth of it is the effect of one per cent more."""
        values = list(self.values.values())
        return {label: self._problem.slope(values, index) for index, label in enumerate(self.values)}


def split_budget(accountant: Accountant, budget: Budget, parts: Sequence[Part], *, tolerance: float = 1e-4) -> Split:
    """Solve the values of all `parts` so that their composition meets `budget` by the accountant's proved bound.

    First each part with a share, alone; then those with neither share nor value together, from what is left, at the
    least sum of utility costs. There, by Lagrange, a little less epsilon costs the same usefulness whichever part saves
    it. The values are rounded to the safe side and the plan that is returned has itself been priced.

    Privacy: none spent; everything here is computed from public settings.

    Args:
        accountant: whose proved bound on the whole plan must meet the budget.
        budget: epsilon, delta and relation.
        parts: in the order of their charges; at least one without a share.
        tolerance: relative, in (0, 1), as in `calibrate`: all parts without a share, dearer by it, are over budget.

    Raises: `InvalidValue` when no part lacks a share, labels repeat or a utility cost falls as privacy gets cheaper;
        `CalibrationError` when the budget cannot be met; `UnsupportedEvent` from the accountant.

    Example:
        >>> from dpgen.accountants import GdpAccountant
        >>> from dpgen.budget import ADD_OR_REMOVE_ONE
        >>> from dpgen.events import Gaussian
        >>> parts = [Part("query", Gaussian, share=0.1), Part("training", Gaussian)]
        >>> split = split_budget(GdpAccountant(), Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE), parts, tolerance=1e-2)
        >>> split.values
        {'query': 30.76, 'training': 3.759}
    """
    free = tuple(index for index, part in enumerate(parts) if part.share is None and part.value is None)
    if not free:
        raise InvalidValue(
            "at least one part must have share=None and value=None and take what the others leave; found none."
        )
    problem = _Problem(accountant, budget, tuple(parts), free, tolerance)
    values = problem.solve_shares()
    values = problem.solve_one(values) if len(free) == 1 else problem.solve_many(values)
    events = problem.events(values)
    plan = Plan(tuple(Charge(part.label, event) for part, event in zip(parts, events, strict=True)))
    return Split(plan, {part.label: value for part, value in zip(parts, values, strict=True)}, problem)


_Rates = dict[int, tuple[float, float]]
"""Of a part: how cheap its value is, as a logarithm, and the logarithm of its exchange rate."""


def _pace(before: _Rates, now: _Rates, otherwise: float) -> float:
    """How far to move per unit of rate: what the last move took, by least squares over the parts that moved."""
    pairs = [(now[i][0] - before[i][0], now[i][1] - before[i][1]) for i in before.keys() & now.keys()]
    product = math.fsum(moved * changed for moved, changed in pairs)
    return min(1.0, product / math.fsum(changed * changed for _, changed in pairs)) if product > 0 else otherwise


@final
@dataclass(frozen=True, slots=True)
class _Problem:
    """The parts at `free` are to be solved, given the values of the others."""

    accountant: Accountant
    budget: Budget
    parts: tuple[Part, ...]
    free: tuple[int, ...]
    tolerance: float

    def events(self, values: Sequence[float]) -> tuple[DpEvent, ...]:
        return tuple(part.event_from_value(value) for part, value in zip(self.parts, values, strict=True))

    def solve_shares(self) -> list[float]:
        """The fixed values, those of the parts with a share, each solved alone, and the cheapest ones of the others."""
        values = [part.parameter.cheapest if part.value is None else part.value for part in self.parts]
        for index, part in enumerate(self.parts):
            if part.share is not None:
                alone = Budget(part.share * self.budget.epsilon, self.budget.delta, self.budget.relation)
                values[index] = self._alone(index, alone)
        return values

    def solve_one(self, values: list[float]) -> list[float]:
        (index,) = self.free

        def whole(value: float) -> DpEvent:
            return Composed(self.events([*values[:index], value, *values[index + 1 :]]))

        parameter = self.parts[index].parameter
        values[index] = calibrate(self.accountant, self.budget, whole, parameter, tolerance=self.tolerance)
        return values

    def solve_many(self, values: list[float]) -> list[float]:
        """Move the free values until their exchange rates agree; after each move, back to the edge of the budget.

        For Gaussians, whose cost is noise^2 and whose part in mu^2 is noise^-2, a quarter of the logarithm of the rate
        is the move that is missing. How much it is here is learnt from the last move (Barzilai, Borwein 1988).
        """
        for index in self.free:
            values[index] = self._alone(index, self.budget)
        pace, moving = 0.25, set(self.free)
        last: _Rates = {}
        for _ in range(_ROUNDS):
            values = self._on_the_edge(values, moving, max(self.tolerance, 1e-3))
            rates = self._log_rates(values)
            moving = set(rates or self.free)
            spread = max((abs(rate) for _, rate in rates.values()), default=0.0)
            if spread <= _EVEN:
                return self._on_the_edge(values, moving, self.tolerance)
            last, pace = rates, _pace(last, rates, pace)
            for index, (_, rate) in rates.items():
                values[index] = self._cheaper(index, values[index], math.exp(-pace * rate))
        raise CalibrationError(
            f"expected exchange rates that agree within {_EVEN}; found {spread:.3g} after {_ROUNDS} rounds. "
            "Give some parts a share, or utility costs that rise smoothly as privacy gets cheaper."
        )

    def _alone(self, index: int, budget: Budget) -> float:
        part, accountant = self.parts[index], by_itself(self.accountant)
        return calibrate(accountant, budget, part.event_from_value, part.parameter, tolerance=self.tolerance)

    def _on_the_edge(self, values: list[float], moving: set[int], tolerance: float) -> list[float]:
        """The values at `moving` made cheaper or dearer by one factor, the least that the budget allows."""

        def moved(factor: float) -> list[float]:
            return [self._cheaper(i, value, factor) if i in moving else value for i, value in enumerate(values)]

        parameter = RealParameter(1e-6, 1e6, "falling")
        whole: Callable[[float], DpEvent] = lambda factor: Composed(self.events(moved(factor)))  # noqa: E731
        return moved(calibrate(self.accountant, self.budget, whole, parameter, tolerance=tolerance))

    def _cheaper(self, index: int, value: float, factor: float) -> float:
        """`value` made cheaper by `factor` (dearer when below 1), within its range, rounded to the cheap side."""
        parameter = self.parts[index].parameter
        moved = value * factor if parameter.cost == "falling" else value / factor
        return min(max(parameter.short(moved, self.tolerance), parameter.lower), parameter.upper)

    def _log_rates(self, values: list[float]) -> _Rates:
        """Log of the utility lost per epsilon saved by a cheaper value, less the mean of the parts inside their range.

        A part at an end of its range that should move beyond it is left out: it stays there.
        """
        logs = {index: self._log_rate(values, index) for index in self.free}
        ends = {index: (self.parts[index].parameter.dearest, self.parts[index].parameter.cheapest) for index in logs}
        inside = [rate for index, rate in logs.items() if values[index] not in ends[index]] or list(logs.values())
        mean = math.fsum(inside) / len(inside)
        blocked = {i for i, rate in logs.items() if values[i] == ends[i][0 if rate > mean else 1]}
        sign = {i: 1 if self.parts[i].parameter.cost == "falling" else -1 for i in logs}
        return {i: (sign[i] * math.log(values[i]), rate - mean) for i, rate in logs.items() if i not in blocked}

    def _log_rate(self, values: list[float], index: int) -> float:
        part, (low, high) = self.parts[index], self._around(values, index)
        lost = (part.utility_cost(high) - part.utility_cost(low)) / math.log(high / low)
        slope = self.slope(values, index)
        if not lost * slope < 0:
            raise InvalidValue(
                f"the utility cost of part {part.label!r} must rise, and its epsilon fall, as its value gets cheaper; "
                f"found derivatives of {lost:.3g} and {slope:.3g} by the logarithm of the value at {values[index]:g}. "
                "Give it a share instead."
            )
        return math.log(-lost / slope)

    def slope(self, values: Sequence[float], index: int) -> float:
        """The derivative of the plan's epsilon by the logarithm of one value: a difference quotient in its range."""
        low, high = self._around(values, index)
        epsilons = [self._estimate([*values[:index], end, *values[index + 1 :]]) for end in (low, high)]
        return (epsilons[1] - epsilons[0]) / math.log(high / low)

    def _around(self, values: Sequence[float], index: int) -> tuple[float, float]:
        parameter = self.parts[index].parameter
        return max(values[index] / _STEP, parameter.lower), min(values[index] * _STEP, parameter.upper)

    def _estimate(self, values: Sequence[float]) -> float:
        event = Composed(self.events(values))
        return self.accountant.epsilon(event, delta=self.budget.delta, relation=self.budget.relation).estimate
