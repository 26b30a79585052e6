"""`OnShards` is priced under replace-one whatever the relation; worlds of shards, integrated, stay below that."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from dpgen.accountants import Accountant, ContourAccountant, GdpAccountant, PldAccountant, RdpAccountant
from dpgen.accountants.flatten import flatten
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.errors import UnsupportedEvent
from dpgen.events import (
    Composed,
    DpEvent,
    Gaussian,
    NonPrivate,
    NoOp,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)

Floats = NDArray[np.float64]
NOISE, PROBABILITY = 1.0, 0.25
SAMPLED = PoissonSampled(PROBABILITY, Gaussian(NOISE))
ONE_SHARD = SampledWithoutReplacement(4, 1, Gaussian(NOISE))
GRID: Floats = np.linspace(-9, 9, 3601)


@pytest.mark.parametrize("accountant", [PldAccountant(), RdpAccountant(), ContourAccountant()])
@pytest.mark.parametrize("inner", [SAMPLED, ONE_SHARD, SelfComposed(SAMPLED, 50)])
def test_both_relations_cost_what_replace_one_costs(accountant: Accountant, inner: DpEvent) -> None:
    expected = accountant.epsilon(inner, delta=1e-5, relation=REPLACE_ONE)
    for relation in (ADD_OR_REMOVE_ONE, REPLACE_ONE):
        assert accountant.supports(OnShards(inner), relation=relation)
        assert accountant.epsilon(OnShards(inner), delta=1e-5, relation=relation) == expected


def test_beside_other_charges_each_leaf_keeps_its_own_distance() -> None:
    accountant = PldAccountant()
    plain, both = Gaussian(2.0), Composed((Gaussian(2.0), OnShards(Gaussian(2.0))))
    found = accountant.epsilon(both, delta=1e-5, relation=ADD_OR_REMOVE_ONE)
    exact = GdpAccountant().epsilon(Gaussian(2 / 5**0.5), delta=1e-5, relation=ADD_OR_REMOVE_ONE)  # mu^2 = .25 + 1
    assert found.lower <= exact.upper
    assert exact.lower <= found.upper <= 1.001 * exact.upper
    assert found.upper > accountant.epsilon(plain, delta=1e-5, relation=ADD_OR_REMOVE_ONE).upper


def test_the_normal_form_takes_compositions_apart_and_knows_nothing_and_everything() -> None:
    assert flatten(OnShards(SelfComposed(SAMPLED, 3))) == {OnShards(SAMPLED): 3}
    assert flatten(SelfComposed(OnShards(OnShards(SAMPLED)), 3)) == {OnShards(SAMPLED): 3}
    assert flatten(OnShards(NoOp())) == {}
    assert flatten(OnShards(Gaussian(0.0))) == {NonPrivate(): 1}
    assert flatten(OnShards(SelfComposed(Gaussian(2.0), 4))) == {OnShards(Gaussian(1.0)): 1}


@pytest.mark.parametrize("accountant", [PldAccountant(), RdpAccountant(), ContourAccountant()])
def test_a_sample_of_records_that_lie_in_shards_is_refused(accountant: Accountant) -> None:
    with pytest.raises(UnsupportedEvent):
        accountant.epsilon(PoissonSampled(0.5, OnShards(Gaussian(1.0))), delta=1e-5, relation=ADD_OR_REMOVE_ONE)


def normal(mean: float) -> Floats:
    return np.asarray(np.exp(-((GRID - mean) ** 2) / 2 / NOISE**2) / NOISE / np.sqrt(2 * np.pi))


def delta(first: Floats, second: Floats, epsilon: float) -> float:
    """Of one release, by integration; lower than the truth by what lies beyond the grid."""
    return float(np.maximum(first - np.exp(epsilon) * second, 0).sum() * (GRID[1] - GRID[0]))


def poisson_world(own: float, others: float) -> Floats:
    """Two shards that join by a coin each: the record's contributes `own`, the other one `others`."""
    chances = {(a, b): np.prod([PROBABILITY if x else 1 - PROBABILITY for x in (a, b)]) for a in (0, 1) for b in (0, 1)}
    return np.asarray(sum(chance * normal(a * own + b * others) for (a, b), chance in chances.items()))


def one_of_four_world(own: float, others: float) -> Floats:
    """Four shards, one drawn: the record's contributes `own`, the three others `others`."""
    return normal(own) / 4 + 3 * normal(others) / 4


CONTRIBUTIONS = (-1.0, -0.4, 0.0, 1.0)


@pytest.mark.parametrize(("world", "event"), [(poisson_world, SAMPLED), (one_of_four_world, ONE_SHARD)])
@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_no_world_of_shards_is_told_apart_better_than_its_price(world, event, epsilon) -> None:  # type: ignore[no-untyped-def]
    price = PldAccountant().delta(OnShards(event), epsilon=epsilon, relation=ADD_OR_REMOVE_ONE).upper
    worst = max(
        delta(world(one, others), world(other, others), epsilon)
        for one, other, others in itertools.product(CONTRIBUTIONS, repeat=3)
    )
    assert worst <= price * (1 + 1e-5)  # the integral is a sum
    assert worst >= 0.99 * price  # and the price is reached


def test_priced_as_if_the_shard_came_and_went_it_is_exceeded() -> None:
    """The broken twin: amplification as of a Poisson sample of records, under add-or-remove-one."""
    price = PldAccountant().delta(SAMPLED, epsilon=0.2, relation=ADD_OR_REMOVE_ONE).upper
    assert delta(poisson_world(1.0, 0.0), poisson_world(-1.0, 0.0), 0.2) > 1.2 * price


def test_one_shard_drawn_costs_more_than_a_coin_for_each() -> None:
    accountant, relation = PldAccountant(), ADD_OR_REMOVE_ONE
    drawn = accountant.epsilon(OnShards(SelfComposed(ONE_SHARD, 50)), delta=1e-5, relation=relation).lower
    coins = accountant.epsilon(OnShards(SelfComposed(SAMPLED, 50)), delta=1e-5, relation=relation).upper
    assert coins < drawn / 2
