"""The law of calibration: the value meets the budget, and slightly less does not; broken solvers are rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgen.accountants import Accountant, GdpAccountant, PrvAccountant, RdpAccountant, calibrate
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, PoissonSampled, SelfComposed

DELTA = 1e-5


def law_the_value_meets_the_budget_and_no_less_does(
    accountant: Accountant,
    solve: Callable[..., float],
    budget: Budget,
    event_from_value: Callable[[float], DpEvent],
    tolerance: float,
) -> None:
    def upper(value: float) -> float:
        return accountant.epsilon(event_from_value(value), delta=budget.delta, relation=budget.relation).upper

    value = solve(accountant, budget, event_from_value, tolerance=tolerance)
    assert upper(value) <= budget.epsilon
    assert upper(value / (1 + 2 * tolerance)) > budget.epsilon


@pytest.mark.parametrize(
    "accountant", [RdpAccountant(), RdpAccountant(order=8.0), GdpAccountant()], ids=["rdp", "rdp-fixed", "gdp"]
)
@settings(max_examples=10)
@given(target=st.floats(2, 20), count=st.integers(1, 500))
def test_plain_gaussians(accountant: Accountant, target: float, count: int) -> None:
    law_the_value_meets_the_budget_and_no_less_does(
        accountant,
        calibrate,
        Budget(target, DELTA, ADD_OR_REMOVE_ONE),
        lambda value: SelfComposed(Gaussian(value), count),
        1e-4,
    )


@pytest.mark.parametrize("target", [1.0, 10.0])
@pytest.mark.parametrize("accountant", [RdpAccountant(), PrvAccountant(0.1)], ids=["rdp", "prv"])
def test_a_query_and_dp_sgd(accountant: Accountant, target: float) -> None:
    law_the_value_meets_the_budget_and_no_less_does(
        accountant, calibrate, Budget(target, DELTA, ADD_OR_REMOVE_ONE), _query_and_dp_sgd, 1e-3
    )


def _query_and_dp_sgd(noise: float) -> DpEvent:
    return Composed((DiscreteGaussian(20.0, 1), SelfComposed(PoissonSampled(0.05, Gaussian(noise)), 100)))


def a_little_less(*arguments: Any, **options: Any) -> float:
    return 0.99 * calibrate(*arguments, **options)


def a_little_more(*arguments: Any, **options: Any) -> float:
    return 1.01 * calibrate(*arguments, **options)


@pytest.mark.parametrize("broken", [a_little_less, a_little_more])
def test_a_broken_solver_is_rejected(broken: Callable[..., float]) -> None:
    with pytest.raises(AssertionError):
        law_the_value_meets_the_budget_and_no_less_does(
            GdpAccountant(), broken, Budget(2.0, DELTA, ADD_OR_REMOVE_ONE), Gaussian, 1e-3
        )
