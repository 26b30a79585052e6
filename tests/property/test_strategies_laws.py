"""The shipped strategies give what they promise, and the shipped mechanisms keep their sensitivity on all of it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation, Plan
from dpgen.events import DpEvent, NonPrivate
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay
from dpgen.testing.strategies import (
    Neighbours,
    crash_schedules,
    deltas,
    event_trees,
    interleavings,
    log_uniform,
    neighbours,
    noise_multipliers,
    plans,
    sampling_probabilities,
    step_counts,
)

RELATIONS = pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
SEARCH = settings(max_examples=500, phases=(Phase.generate,), database=None)
ANY = st.sampled_from((ADD_OR_REMOVE_ONE, REPLACE_ONE)).flatmap(partial(neighbours, finite=False))


def check(mechanism, pair: Neighbours) -> None:
    run = partial(measuring, mechanism, relation=pair.relation, context=RunContext())
    replay(run(pair.second), record(run(pair.first)), relation=pair.relation)


def flat(images: Tensor, labels: Tensor) -> Tensor:
    return images.flatten(1)


@given(ANY)
def test_a_clipped_sum_keeps_its_sensitivity_on_hostile_images(pair: Neighbours) -> None:
    check(GaussianSum(vectors=flat, dimension=16, clip_norm=0.7, noise_multiplier=1.0), pair)


@given(ANY)
def test_a_histogram_of_labels_keeps_its_sensitivity(pair: Neighbours) -> None:
    check(NoisyHistogram(cells=3, votes=1, scale=2.0, vote=lambda images, labels: labels[:, None]), pair)


@RELATIONS
def test_a_mean_over_the_actual_records_is_found_out(relation: NeighboringRelation) -> None:
    def centred(images: Tensor, labels: Tensor) -> Tensor:
        return images.flatten(1) * (-1.0) ** len(images) - images.flatten(1).mean()

    mechanism = GaussianSum(vectors=centred, dimension=16, clip_norm=0.7, noise_multiplier=1.0)

    def leaks(pair: Neighbours) -> bool:
        try:
            check(mechanism, pair)
        except ReplayMismatch:
            return True
        return False

    find(neighbours(relation), leaks, settings=SEARCH)  # raises when no pair shows it


@RELATIONS
def test_neighbours_differ_in_one_record(relation: NeighboringRelation) -> None:
    @settings(max_examples=30)
    @given(neighbours(relation))
    def law(pair: Neighbours) -> None:
        first, second = (dict(zip(r.ids.tolist(), r.batch(r.ids)[0], strict=True)) for r in (pair.first, pair.second))
        gone = {pair.victim} if relation is ADD_OR_REMOVE_ONE else set()
        assert set(first) - set(second) == gone
        assert all(torch.equal(first[i], second[i]) for i in second if i != pair.victim)
        assert all(bool(((image >= 0) & (image <= 1)).all()) for image in first.values())

    law()


@RELATIONS
def test_hostile_members_come_up(relation: NeighboringRelation) -> None:
    def has(what) -> None:
        find(neighbours(relation, finite=False), lambda pair: what(pair.first.batch(pair.first.ids)), settings=SEARCH)

    has(lambda batch: bool(batch[0].isnan().any()))
    has(lambda batch: len(batch[0]) > 1 and torch.equal(batch[0][0], batch[0][-1]))
    has(lambda batch: len(batch[0]) == 1)
    has(lambda batch: bool((batch[0] == 0).all()))
    has(lambda batch: len(batch[1]) > 2 and not bool((batch[1] == 1).any()))  # an empty class


@given(noise_multipliers(), sampling_probabilities(), step_counts(), deltas(), log_uniform(2.0, 3.0))
def test_parameters_lie_in_their_ranges(noise: float, probability: float, steps: int, delta: float, x: float) -> None:
    assert 1e-3 <= noise <= 1e3
    assert 0 < probability <= 1
    assert 0 <= steps <= 10**6
    assert 1e-12 <= delta <= 0.5
    assert 2 <= x <= 3


@given(event_trees(unpriced=True), plans())
def test_events_and_plans_survive_json(event: DpEvent, plan: Plan) -> None:
    assert DpEvent.from_json(event.to_json()) == event
    assert DpEvent.from_json(plan.event.to_json()) == plan.event


def test_what_costs_infinity_comes_up() -> None:
    find(event_trees(unpriced=True), lambda event: event == NonPrivate(), settings=SEARCH)


@given(interleavings([2, 3]), crash_schedules(phases=["train"]))
def test_schedules(order: list[int], crashes: list[object]) -> None:
    assert np.bincount(order, minlength=2).tolist() == [2, 3]
    assert len(crashes) <= 3
