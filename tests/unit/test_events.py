from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgen.errors import InvalidValue
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    NonPrivate,
    NoOp,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
    Unsupported,
)

leaves = st.one_of(
    st.builds(Gaussian, st.floats(0, 1e6)),
    st.builds(DiscreteGaussian, st.floats(1e-3, 1e6), st.integers(0, 100)),
    st.builds(Laplace, st.floats(0, 1e6)),
    st.builds(EpsilonDelta, st.floats(0, 1e3), st.floats(0, 1, exclude_max=True)),
    st.builds(OnShards, st.builds(PoissonSampled, st.floats(0, 1), st.builds(Gaussian, st.floats(0, 1e3)))),
    st.builds(AggregatePosterior, st.integers(1, 10**9), st.integers(0, 10**9), st.floats(0, 1e3)),
    st.builds(Unsupported, st.text()),
    st.just(NoOp()),
    st.just(NonPrivate()),
)
events = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(PoissonSampled, st.floats(0, 1), inner),
        st.builds(SampledWithoutReplacement, st.integers(10, 10**9), st.integers(0, 10), inner),
        st.builds(SelfComposed, inner, st.integers(0, 10**9)),
        st.builds(Composed, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(events)
def test_json_gives_back_the_same_event(event: DpEvent) -> None:
    assert DpEvent.from_json(json.loads(json.dumps(event.to_json()))) == event


@given(events)
def test_equal_events_hash_alike(event: DpEvent) -> None:
    assert hash(DpEvent.from_json(event.to_json())) == hash(event)


def test_the_documented_json() -> None:
    event = SelfComposed(PoissonSampled(0.01, Gaussian(1.0)), 1000)
    assert event.to_json() == {
        "type": "SelfComposed",
        "count": 1000,
        "event": {
            "type": "PoissonSampled",
            "probability": 0.01,
            "event": {"type": "Gaussian", "noise_multiplier": 1.0},
        },
    }


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"type": "Gauss", "noise_multiplier": 1.0},
        {"type": "Gaussian"},
        {"type": "Gaussian", "noise_multiplier": 1.0, "sigma": 2},
        {"type": "Gaussian", "noise_multiplier": "1"},
        {"type": "Gaussian", "noise_multiplier": float("nan")},
        {"type": "Gaussian", "noise_multiplier": True},
        {"type": "PoissonSampled", "probability": 1.5, "event": {"type": "NoOp"}},
        {"type": "SelfComposed", "count": 2.5, "event": {"type": "NoOp"}},
        {"type": "SelfComposed", "count": 2, "event": "NoOp"},
        {"type": "Composed", "events": {"type": "NoOp"}},
        {"type": "DiscreteGaussian", "scale": 0, "touched": 1},
        {"type": "Unsupported", "description": 3},
        {"type": "Laplace", "noise_multiplier": -1.0},
        {"type": "EpsilonDelta", "epsilon": -1.0, "delta": 0.0},
        {"type": "EpsilonDelta", "epsilon": float("inf"), "delta": 0.0},
        {"type": "EpsilonDelta", "epsilon": 1.0, "delta": 1.0},
        {"type": "EpsilonDelta", "epsilon": 1.0, "delta": -1e-9},
        {"type": "SampledWithoutReplacement", "records": 5, "sample": 6, "event": {"type": "NoOp"}},
        {"type": "SampledWithoutReplacement", "records": 0, "sample": 0, "event": {"type": "NoOp"}},
        {"type": "SampledWithoutReplacement", "records": 5, "sample": 2.0, "event": {"type": "NoOp"}},
        {"type": "SampledWithoutReplacement", "records": 5, "sample": 2, "event": "NoOp"},
        {"type": "AggregatePosterior", "records": 0, "draws": 1, "separation": 1.0},
        {"type": "AggregatePosterior", "records": 5, "draws": -1, "separation": 1.0},
        {"type": "AggregatePosterior", "records": 5, "draws": 1, "separation": float("inf")},
    ],
    ids=str,
)
def test_refuses_what_is_no_event(data: object) -> None:
    with pytest.raises(InvalidValue):
        DpEvent.from_json(data)


def test_the_short_notation() -> None:
    event = Composed((SelfComposed(PoissonSampled(0.01706666, Gaussian(0.57997)), 360), DiscreteGaussian(14.7272, 3)))
    assert str(event) == "Composed(360 x PoissonSampled(0.01707, Gaussian(0.58)), DiscreteGaussian(14.73, 3))"
