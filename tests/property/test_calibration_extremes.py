"""Calibration far from the usual budgets: few prices, a value that is proved to meet the target, or a refusal.

A search whose scale flattens out (where epsilon goes to 0 while the advantage stays near delta) still finds the value,
but by hundreds of bisections: that scale is put back in the last test, and must be noticed.
"""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgen.accountants import Accountant, Bound, PldAccountant, calibrate
from dpgen.accountants.calibration.targets import EpsilonAtDelta
from dpgen.accountants.gdp import gaussian_epsilon
from dpgen.budget import ADD_OR_REMOVE_ONE, BoundKind, Budget, NeighboringRelation
from dpgen.errors import CalibrationError
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed

MOST_PRICES = 10
"""Of a calibration to one part in ten thousand; halving the range alone would take seventeen."""


class Counted(Accountant):
    """The prices of pld, counted."""

    name: ClassVar[str] = "counted"
    kind: ClassVar[BoundKind] = "certified"
    adaptive = False

    def __init__(self) -> None:
        self.asked = 0

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        return PldAccountant().supports(event, relation=relation)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        self.asked += 1
        return PldAccountant().epsilon(event, delta=delta, relation=relation)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        raise AssertionError("nobody asked for a delta")


def with_noise(noise: float) -> DpEvent:
    return SelfComposed(PoissonSampled(0.02, Gaussian(noise)), 300)


def law_few_prices_and_a_value_that_meets_the_target(epsilon: float, delta: float) -> None:
    accountant, budget = Counted(), Budget(epsilon, delta, ADD_OR_REMOVE_ONE)
    noise = calibrate(accountant, budget, with_noise)
    assert accountant.asked <= MOST_PRICES
    price = PldAccountant().epsilon(with_noise(noise), delta=delta, relation=ADD_OR_REMOVE_ONE)
    assert price.upper <= epsilon
    dearer = PldAccountant().epsilon(with_noise(noise * (1 - 1.1e-4)), delta=delta, relation=ADD_OR_REMOVE_ONE)
    assert noise == 0.01 or dearer.upper > epsilon * 0.99


@settings(max_examples=8, deadline=None, derandomize=True)
@given(exponent=st.floats(-12.0, 3.0), log_delta=st.floats(-5.5, -4.0))
def test_few_prices_from_tiny_to_huge_budgets(exponent: float, log_delta: float) -> None:
    law_few_prices_and_a_value_that_meets_the_target(10.0**exponent, 10.0**log_delta)


@pytest.mark.parametrize("epsilon", [1e-300, 1e-4, 1e3])
def test_few_prices_at_the_ends_of_the_range(epsilon: float) -> None:
    law_few_prices_and_a_value_that_meets_the_target(epsilon, 1e-5)


def test_a_budget_out_of_reach_is_refused_at_once() -> None:
    accountant = Counted()
    with pytest.raises(CalibrationError, match=r"expected a value of at most 100000 that meets .*found epsilon"):
        calibrate(accountant, Budget(1e-12, 1e-12, ADD_OR_REMOVE_ONE), with_noise)
    assert accountant.asked <= 3


@settings(max_examples=200, deadline=None, derandomize=True)
@given(log_mu=st.floats(-6.0, 1.5), log_delta=st.floats(-12.0, -1.0))
def test_the_scale_of_a_search_is_that_of_gaussians(log_mu: float, log_delta: float) -> None:
    mu, delta = 10.0**log_mu, 10.0**log_delta
    epsilon = gaussian_epsilon(mu, delta).estimate
    if epsilon <= 1e-12:  # delta alone pays for it: below, no epsilon tells one mu from another
        return
    found = EpsilonAtDelta(Budget(1.0, delta, ADD_OR_REMOVE_ONE)).mu(epsilon)
    assert found == pytest.approx(mu, rel=1e-6)


def test_the_scale_has_no_step_where_chernoff_takes_over() -> None:
    target = EpsilonAtDelta(Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE))
    assert target.mu(10_001.0) == pytest.approx(target.mu(9_999.0), rel=0.01)
    assert math.isinf(target.mu(math.inf))
    assert target.mu(0.0) == 0


def test_a_scale_that_flattens_out_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def chernoff(target: EpsilonAtDelta, figure: float) -> float:
        tail = -math.log(target.budget.delta)
        return math.sqrt(2) * figure / (math.sqrt(tail + figure) + math.sqrt(tail)) if figure < math.inf else math.inf

    monkeypatch.setattr(EpsilonAtDelta, "mu", chernoff)
    with pytest.raises(AssertionError):
        law_few_prices_and_a_value_that_meets_the_target(1e-12, 1e-5)
