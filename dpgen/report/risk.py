"""What the price of a run means to an attacker, computed for its report from the plan alone.

The numbers are proved by `pld` wherever it can price the plan, else by the accountant that the record names. Nothing is
read but the record; equal plans give equal pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from dpgen.accountants.base import Accountant
from dpgen.accountants.pld import PldAccountant
from dpgen.accountants.pricing import PricedCharge, price
from dpgen.accountants.tradeoff import AttackRisk, TradeoffCurve, privacy_curve, tradeoff_curve
from dpgen.budget import Budget, Plan
from dpgen.errors import DpgenError
from dpgen.record import RunRecord

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)
PRIORS = (0.5, 0.1)
GROUPS = (2, 5, 10)

_TOLERANCE = 4e-3  # of the trade-off curve, in false-negative rate: half a pixel of its picture
_STEPS = (12, 40)  # of the privacy curve, up to the claimed epsilon and a fifth beyond: the fewest and the most
_FARTHEST = 100.0  # epsilon on the picture


@final
@dataclass(frozen=True)
class RiskReading:
    """Everything a report says of risk: the curve, the prices of the single charges, and who proved them."""

    curve: TradeoffCurve
    prices: tuple[PricedCharge, ...]

    @property
    def accountant(self) -> str:
        """Who proved the numbers."""
        return self.curve.privacy.accountant

    def found(self, false_positive_rate: float) -> float:
        """The largest share of the members that an attack with so many false alarms can find; an upper bound."""
        risk = AttackRisk(self.curve)
        return risk.true_positive_rate(at_false_positive_rate=false_positive_rate).upper

    def right(self, prior: float, false_positive_rate: float) -> float:
        """The largest share of right accusations, where `prior` of the candidates are in; an upper bound."""
        risk = AttackRisk(self.curve)
        return risk.positive_predictive_value(prior=prior, at_false_positive_rate=false_positive_rate).upper

    def guessed(self, prior: float) -> float:
        """The largest chance to guess right whether one image is in, when it is with probability `prior` <= 1/2.

        A test with false-positive rate a and true-positive rate t is right with (1 - prior) (1 - a) + prior t. With
        g = (1 - prior) / prior that is 1 - prior + prior (t - g a), and max over tests of t - g a is D(g), the
        hockey-stick divergence at epsilon log g >= 0 (Dong, Roth, Su 2022, proposition 2.13). Blind: 1 - prior.
        """
        divergence = self.curve.privacy.at(math.log((1 - prior) / prior)).upper
        return min(1.0, (1 - prior + prior * divergence) * (1 + 1e-12))

    def found_in_group(self, size: int, false_positive_rate: float) -> float:
        """Like `found`, for the presence of `size` images together; an upper bound."""
        return 1 - self.curve.for_group(size).at(false_positive_rate).lower


def risk_reading(record: RunRecord, claimed: type[Accountant] | None = None) -> RiskReading | None:
    """The reading of `record`; `claimed` is asked where pld has no price. None where nothing can be promised.

    Nothing is promised of a run whose noise was a test double's, or whose price nobody here can prove.
    """
    if not record.private:
        return None
    guarantee = record.guarantee
    budget = Budget(record.budget.epsilon, guarantee.delta, guarantee.relation)
    for kind in (PldAccountant, claimed):
        if kind is None or kind.kind == "approximation":
            continue
        try:
            return _reading(kind, record.plan, budget, guarantee.epsilon_upper)
        except (DpgenError, ArithmeticError):
            continue  # it cannot price this plan
    return None


def groups_of(record: RunRecord) -> Sequence[int]:
    """Sizes of groups worth a line: the usual ones, and the images of one person where that is the unit."""
    own = () if record.group is None else (int(record.group["size"]),)
    return sorted({*GROUPS, *own} - {1})


@lru_cache(maxsize=16)  # the released and the internal page ask alike
def _reading(kind: type[Accountant], plan: Plan, budget: Budget, reach: float) -> RiskReading:
    accountant, relation = kind(), budget.relation
    unlikely = accountant.epsilon(plan.event, delta=budget.delta / 100, relation=relation).upper
    farthest = min(1.2 * reach, 1.2 * unlikely, _FARTHEST)  # beyond, delta is next to nothing and dear to compute
    steps = min(max(_STEPS[0], math.ceil(4 * farthest)), _STEPS[1])  # a quarter: wider chords hang over the curve
    epsilons = np.linspace(0.0, farthest, steps + 1).tolist()
    prices = privacy_curve(accountant, plan.event, relation=relation, epsilons=epsilons)
    curve = tradeoff_curve(accountant, plan.event, relation=relation, tolerance=_TOLERANCE, known=prices)
    return RiskReading(curve, price(plan, accountant, budget))
