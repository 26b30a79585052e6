"""Calibration and price lists: decisions that can be seen without a slow accountant."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest

from dpgen.accountants import (
    Accountant,
    Bound,
    GdpAccountant,
    GdpCltAccountant,
    PrvAccountant,
    RdpAccountant,
    calibrate,
    noise_multiplier,
    price,
    total,
)
from dpgen.budget import ADD_OR_REMOVE_ONE, BoundKind, Budget, Charge, NeighboringRelation, Plan
from dpgen.errors import CalibrationError, InvalidValue, UnsupportedEvent
from dpgen.events import (
    Composed,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    NoOp,
    PoissonSampled,
    SelfComposed,
    Unsupported,
)

BUDGET = Budget(2.0, 1e-5, ADD_OR_REMOVE_ONE)


class Counting(Accountant):
    """Another accountant, counting the questions."""

    name: ClassVar[str] = "counting"
    kind: ClassVar[BoundKind] = "bound"
    adaptive = False

    def __init__(self, inner: Accountant) -> None:
        self.inner, self.asked = inner, 0

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        return self.inner.supports(event, relation=relation)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        self.asked += 1
        return self.inner.epsilon(event, delta=delta, relation=relation)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        return self.inner.delta(event, epsilon=epsilon, relation=relation)


def dp_sgd(noise: float) -> DpEvent:
    return SelfComposed(PoissonSampled(0.05, Gaussian(noise)), 30)


def test_a_slow_accountant_is_asked_few_times() -> None:
    accountant = Counting(PrvAccountant(0.2))
    value = calibrate(accountant, BUDGET, dp_sgd)
    assert accountant.asked <= 6
    assert value < calibrate(RdpAccountant(), BUDGET, dp_sgd)


def test_the_answer_is_a_short_decimal_close_above_the_exact_one() -> None:
    coarse = calibrate(GdpAccountant(), BUDGET, Gaussian, tolerance=1e-3)
    fine = calibrate(GdpAccountant(), BUDGET, Gaussian, tolerance=1e-9)
    assert 0 <= coarse / fine - 1 <= 1e-3
    assert coarse == round(coarse, 6)


def test_any_parameter_for_which_larger_is_cheaper_can_be_solved() -> None:
    scale = calibrate(RdpAccountant(), BUDGET, lambda value: Composed((DiscreteGaussian(value, 3), Gaussian(5.0))))
    assert RdpAccountant().epsilon(
        Composed((DiscreteGaussian(scale, 3), Gaussian(5.0))), delta=1e-5, relation=ADD_OR_REMOVE_ONE
    ).upper == pytest.approx(2.0, rel=1e-3)


def test_what_costs_nothing_gets_the_lower_end() -> None:
    assert calibrate(GdpAccountant(), BUDGET, lambda _: NoOp(), lower=0.5) == pytest.approx(0.5, rel=2e-4)


@pytest.mark.parametrize("accountant", [GdpAccountant(), PrvAccountant()], ids=["gdp", "prv"])
def test_an_impossible_budget_says_what_to_change(accountant: Accountant) -> None:
    with pytest.raises(CalibrationError, match=r"at most 100 .* found epsilon=.*Raise the budget, take fewer steps"):
        calibrate(accountant, BUDGET, lambda value: Composed((Gaussian(1.0), Gaussian(value))), upper=100.0)


def test_an_approximation_only_searches() -> None:
    with pytest.raises(CalibrationError, match="search_only=True"):
        calibrate(GdpCltAccountant(), BUDGET, dp_sgd)
    found = calibrate(GdpCltAccountant(), BUDGET, dp_sgd, search_only=True)
    assert found < calibrate(RdpAccountant(), BUDGET, dp_sgd)


@pytest.mark.parametrize("wrong", [{"lower": 0.0}, {"lower": 2.0, "upper": 2.0}, {"tolerance": 0.0}])
def test_a_bracket_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match=r"lower|tolerance"):
        calibrate(GdpAccountant(), BUDGET, Gaussian, **wrong)


def test_an_event_without_a_price_is_refused() -> None:
    with pytest.raises(UnsupportedEvent):
        calibrate(PrvAccountant(), BUDGET, lambda _: Unsupported("a shuffle"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Gaussian(2.5), 2.5),
        (dp_sgd(1.5), 1.5),
        (DiscreteGaussian(6.0, 4), 3.0),
        (DiscreteGaussian(6.0, 0), None),
        (Composed((NoOp(), Gaussian(2.5))), 2.5),
        (Composed((Gaussian(1.0), Gaussian(2.5))), None),
        (NoOp(), None),
    ],
)
def test_the_noise_multiplier_of_an_event(event: DpEvent, expected: float | None) -> None:
    assert noise_multiplier(event) == expected


def test_a_price_list_adds_up() -> None:
    plan = Plan((Charge("query", DiscreteGaussian(20.0, 1)), Charge("free", NoOp()), Charge("finetune", Gaussian(2.0))))
    query, free, finetune = price(plan, RdpAccountant(), BUDGET)
    assert (query.label, query.noise_multiplier, query.own) == ("query", 20.0, query.cumulative)
    assert (free.own_epsilon, free.noise_multiplier) == (0, None)
    assert free.cumulative_epsilon == query.own_epsilon
    assert finetune.cumulative == total(plan, RdpAccountant(), BUDGET)
    assert max(query.own_epsilon, finetune.own_epsilon) < finetune.cumulative_epsilon < math.inf


def test_an_empty_plan_costs_nothing() -> None:
    assert price(Plan(()), RdpAccountant(), BUDGET) == ()
    assert total(Plan(()), RdpAccountant(), BUDGET).upper == 0
