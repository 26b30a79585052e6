from __future__ import annotations

import math

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import Composed, Gaussian, NoOp


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan, True, "1"])
def test_epsilon_must_be_positive_and_finite(epsilon: float) -> None:
    with pytest.raises(InvalidValue, match="epsilon must be"):
        Budget(epsilon, 1e-5, ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize("delta", [0.0, 1.0, 2.0, -0.1, math.nan])
def test_delta_must_lie_between_zero_and_one(delta: float) -> None:
    with pytest.raises(InvalidValue, match="delta must"):
        Budget(1.0, delta, ADD_OR_REMOVE_ONE)


def test_the_relation_is_one_of_two() -> None:
    assert Budget(1.0, 1e-5, "replace_one").relation is REPLACE_ONE  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="swap"):
        Budget(1.0, 1e-5, "swap")  # type: ignore[arg-type]


def test_a_plan_is_the_composition_of_its_charges() -> None:
    plan = Plan((Charge("a", Gaussian(1.0)), Charge("b", NoOp())), notes=("for people",))
    assert plan.event == Composed((Gaussian(1.0), NoOp()))
    assert plan["b"] == NoOp()
    assert plan == Plan(plan.charges)
    with pytest.raises(InvalidValue, match="found no 'c'"):
        plan["c"]


def test_a_plan_gives_the_event_of_the_kind_that_is_asked_for() -> None:
    plan = Plan((Charge("a", Gaussian(1.0)), Charge("b", NoOp())))
    assert "a" in plan
    assert "c" not in plan
    assert plan.of_kind("a", Gaussian).noise_multiplier == 1.0
    with pytest.raises(PlanMismatch, match="expects a Gaussian event under 'b'"):
        plan.of_kind("b", Gaussian)


def test_labels_of_a_plan_are_unique() -> None:
    with pytest.raises(InvalidValue, match="unique"):
        Plan((Charge("a", NoOp()), Charge("a", Gaussian(1.0))))


@pytest.mark.parametrize("label", ["", "two\nlines"])
def test_a_label_is_printable(label: str) -> None:
    with pytest.raises(InvalidValue, match="printable"):
        Charge(label, NoOp())


def test_group_guarantee() -> None:
    guarantee = Guarantee(1.0, 1e-6, ADD_OR_REMOVE_ONE, "prv", "bound")
    assert guarantee.for_group(1) == (1.0, 1e-6)
    epsilon, delta = guarantee.for_group(3)
    assert epsilon == 3.0
    assert delta == pytest.approx(1e-6 * (1 + math.e + math.e**2))
    assert guarantee.for_group(40)[1] == 1.0
    with pytest.raises(InvalidValue):
        guarantee.for_group(0)
