"""Means so far apart that a chosen record is always told: pld encloses delta narrowly, and says what epsilon costs."""

from __future__ import annotations

import math

import pytest

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.events import AggregatePosterior

RECORDS, DRAWS = 60_000, 100


def chosen(records: int) -> float:
    """Somebody who is told when drawn: the chance to be drawn at all."""
    return -math.expm1(DRAWS * math.log1p(-1 / records))


@pytest.mark.parametrize("separation", [40.0, 60.0, 100.0])
@pytest.mark.parametrize(("relation", "records"), [(REPLACE_ONE, RECORDS), (ADD_OR_REMOVE_ONE, RECORDS + 1)])
def test_delta_is_the_chance_to_be_chosen(separation: float, relation: NeighboringRelation, records: int) -> None:
    found = PldAccountant().delta(AggregatePosterior(RECORDS, DRAWS, separation), epsilon=1.0, relation=relation)
    assert found.lower <= chosen(records) <= found.upper
    assert found.upper - found.lower < 1e-4 * found.upper
    assert found.kind == "certified"


@pytest.mark.parametrize("separation", [40.0, 60.0])
def test_epsilon_below_the_chance_to_be_chosen_is_the_loss_of_the_draws_that_tell(separation: float) -> None:
    """At a delta between the chances to be drawn once and twice: about one loss, separation^2 / 2 + log(1 / n)."""
    delta = 0.1 * chosen(RECORDS + 1)
    assert delta > DRAWS * (DRAWS - 1) / 2 / RECORDS**2
    event = AggregatePosterior(RECORDS, DRAWS, separation)
    found = PldAccountant().epsilon(event, delta=delta, relation=ADD_OR_REMOVE_ONE)
    assert found.upper - found.lower < 1e-3
    # nine in ten of those drawn must be below: 1.28 deviations of the loss above its mean
    expected = separation**2 / 2 + 1.2816 * separation - math.log(RECORDS + 1)
    assert found.estimate == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
def test_what_no_grid_can_hold_is_left_to_renyi_bounds(relation: NeighboringRelation) -> None:
    event = AggregatePosterior(RECORDS, DRAWS, 301.0)
    assert PldAccountant().delta(event, epsilon=1.0, relation=relation).kind == "bound"
    assert PldAccountant().delta(event, epsilon=1.0, relation=relation).upper >= chosen(RECORDS + 1)
