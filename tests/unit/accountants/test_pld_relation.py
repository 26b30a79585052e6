"""Under replace-one a record moves a sum twice as far: the same event costs what half its noise costs otherwise."""

from __future__ import annotations

import pytest

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.errors import UnsupportedEvent
from dpgen.events import Composed, DpEvent, Gaussian, Laplace, SampledWithoutReplacement


@pytest.mark.parametrize(
    ("event", "of_half_the_noise"),
    [
        (Laplace(3.0), Laplace(1.5)),
        (Composed((Laplace(3.0), Laplace(5.0))), Composed((Laplace(1.5), Laplace(2.5)))),
        (Composed((Laplace(3.0), Gaussian(5.0))), Composed((Laplace(1.5), Gaussian(2.5)))),
    ],
    ids=["one", "two", "with a Gaussian"],
)
def test_the_distance_doubles(event: DpEvent, of_half_the_noise: DpEvent) -> None:
    accountant = PldAccountant()
    replacing = accountant.epsilon(event, delta=1e-4, relation=REPLACE_ONE)
    removing = accountant.epsilon(of_half_the_noise, delta=1e-4, relation=ADD_OR_REMOVE_ONE)
    assert replacing.upper == pytest.approx(removing.upper, rel=1e-6)
    assert replacing.upper > 1.5 * accountant.epsilon(event, delta=1e-4, relation=ADD_OR_REMOVE_ONE).upper


def test_a_sample_of_fixed_size_has_no_price_where_a_record_may_be_missing() -> None:
    accountant, event = PldAccountant(), SampledWithoutReplacement(100, 5, Gaussian(1.0))
    assert accountant.supports(event, relation=REPLACE_ONE)
    assert not accountant.supports(event, relation=ADD_OR_REMOVE_ONE)
    with pytest.raises(UnsupportedEvent, match="replace_one"):
        accountant.epsilon(event, delta=1e-4, relation=ADD_OR_REMOVE_ONE)
