"""A plan priced together with what is charged beside it."""

from __future__ import annotations

import pytest

from dpgen.accountants import GdpAccountant, Part, RdpAccountant, calibrate, split_budget
from dpgen.accountants.beside import Beside, by_itself
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.errors import BudgetExceeded
from dpgen.events import Composed, EpsilonDelta, Gaussian
from dpgen.ledger import Ledger

BUDGET = Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE)
OTHER = Gaussian(20.0)


def whole_fits(noise: float) -> bool:
    with Ledger(GdpAccountant(), BUDGET) as ledger:
        try:
            ledger.adopt(Plan((Charge("other", OTHER), Charge("own", Gaussian(noise)))))
        except BudgetExceeded:
            return False
    return True


def test_the_noise_leaves_just_the_room_that_the_other_takes() -> None:
    noise = calibrate(Beside(GdpAccountant(), OTHER), BUDGET, Gaussian)
    assert whole_fits(noise)
    assert not whole_fits(noise / 1.001)
    assert not whole_fits(calibrate(GdpAccountant(), BUDGET, Gaussian)), "the broken twin: planned as if alone"


def test_both_directions_price_the_composition() -> None:
    beside, alone, both = Beside(RdpAccountant(), OTHER), RdpAccountant(), Composed((OTHER, Gaussian(3.0)))
    asked = {"relation": ADD_OR_REMOVE_ONE}
    assert beside.epsilon(Gaussian(3.0), delta=1e-5, **asked) == alone.epsilon(both, delta=1e-5, **asked)
    assert beside.delta(Gaussian(3.0), epsilon=1.0, **asked) == alone.delta(both, epsilon=1.0, **asked)
    assert (beside.name, beside.kind, beside.adaptive) == (alone.name, alone.kind, alone.adaptive)
    assert not Beside(GdpAccountant(), EpsilonDelta(0.1, 0.0)).supports(Gaussian(3.0), relation=ADD_OR_REMOVE_ONE)


def test_a_share_is_one_of_the_part_alone() -> None:
    """Else a part with a small share could never be met, where what stands beside it costs more."""
    parts = [Part("query", Gaussian, share=0.02), Part("training", Gaussian)]
    alone = split_budget(GdpAccountant(), BUDGET, parts).values
    beside = split_budget(Beside(GdpAccountant(), OTHER), BUDGET, parts).values
    assert beside["query"] == alone["query"]
    assert beside["training"] > alone["training"]


def test_a_fixed_value_is_kept_and_paid_for() -> None:
    parts = [Part("query", Gaussian, value=20.0), Part("training", Gaussian)]
    values = split_budget(GdpAccountant(), BUDGET, parts).values
    assert values["query"] == 20.0
    assert values["training"] == pytest.approx(calibrate(Beside(GdpAccountant(), OTHER), BUDGET, Gaussian), rel=2e-4)


def test_two_events_beside_one_another() -> None:
    inner = GdpAccountant()
    assert by_itself(Beside(Beside(inner, OTHER), OTHER)) is inner
