"""What an event promises to draw, leaf by leaf: the side of the comparison that is read off the charge."""

from __future__ import annotations

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    Gaussian,
    Laplace,
    OnShards,
    PoissonSampled,
    SelfComposed,
)
from dpgen.testing.conformance.observed_events import Leaf, charged

STEPS = SelfComposed(PoissonSampled(0.25, Gaussian(3.0)), 4)
CODES = AggregatePosterior(50, 2, 0.5)


def test_what_runs_on_shards_moves_twice_as_far_in_relation_to_a_record() -> None:
    assert charged(STEPS) == [Leaf("gaussian", 3.0, probability=0.25)] * 4
    assert charged(OnShards(STEPS)) == [Leaf("gaussian", 1.5, probability=0.25)] * 4
    assert charged(OnShards(STEPS), relation=REPLACE_ONE) == charged(STEPS, relation=REPLACE_ONE)


@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
def test_a_separation_is_a_whole_distance_on_shards_too(relation) -> None:
    codes = charged(CODES, relation=relation)
    assert codes == [Leaf("gaussian", 2.0, records=50)] * 2
    assert charged(OnShards(CODES), relation=relation) == codes
    assert charged(OnShards(SelfComposed(CODES, 3)), relation=relation) == codes * 3
    together = charged(OnShards(Composed((CODES, Gaussian(3.0)))), relation=relation)
    assert together == [*codes, Leaf("gaussian", 3.0 if relation is REPLACE_ONE else 1.5)]


@pytest.mark.parametrize("event", [Laplace(1.0), Composed((STEPS, Laplace(1.0))), OnShards(DiscreteGaussian(2.0, 1))])
def test_what_is_not_compared_is_said(event) -> None:
    assert charged(event) is None
