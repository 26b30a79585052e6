"""Tiny and rich events: pld is as narrow, relatively, as elsewhere, and spends no grid where none would help."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dpgen.accountants import GdpAccountant, PldAccountant
from dpgen.accountants.pld import pilot, solve
from dpgen.accountants.pld.compose import Window
from dpgen.accountants.pld.leaves import pair_of
from dpgen.accountants.pld.pilot import Pilot
from dpgen.accountants.pld.solve import Limits
from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    OnShards,
    PoissonSampled,
    SelfComposed,
)

LIPSCHITZ_VAE = OnShards(AggregatePosterior(6000, 60_000, 2.571))
"""What 60,000 draws cost at epsilon 10: its lower bound lies half an epsilon below, whatever the grid."""


def descents(noise: float) -> DpEvent:
    return SelfComposed(PoissonSampled(0.01, Gaussian(noise)), 1000)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """The windows of all grids that were composed."""
    composed: list[Window] = []
    compose = solve.compose

    def heard(laws: Any, window: Window) -> Any:
        composed.append(window)
        return compose(laws, window)

    monkeypatch.setattr(solve, "compose", heard)
    return composed


@pytest.mark.parametrize("noise", [1e2, 1e4, 1e6])
def test_a_tiny_delta_is_enclosed_within_a_hundredth_of_itself(noise: float) -> None:
    """Noise by the thousand makes 1000 steps a Gaussian of mu = q sqrt(T) / noise, by the central limit."""
    alike = Gaussian(noise / 0.01 / math.sqrt(1000))
    for epsilon in (0.0, 0.3 / noise):
        found = PldAccountant().delta(descents(noise), epsilon=epsilon, relation=ADD_OR_REMOVE_ONE)
        assert found.upper - found.lower < 0.01 * found.upper
        exact = GdpAccountant().delta(alike, epsilon=epsilon, relation=ADD_OR_REMOVE_ONE).estimate
        assert found.upper == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("noise", [1e2, 1e3, 1e4])
def test_a_tiny_epsilon_is_enclosed_within_a_fiftieth_of_itself(noise: float) -> None:
    found = PldAccountant().epsilon(descents(noise), delta=1e-6, relation=ADD_OR_REMOVE_ONE)
    assert 0 < found.upper - found.lower < 0.02 * found.upper


def test_a_tolerance_that_was_given_is_not_changed() -> None:
    assert Limits(1e-3, 100).of(1e-4) == Limits(1e-3, 100)
    assert Limits(1e-3, 100, relative=True).of(1e-4).tolerance == pytest.approx(1e-7)
    assert Limits(1e-3, 100, relative=True).of(5.0) == Limits(1e-3, 100, relative=True)


def test_a_gap_that_no_grid_closes_is_paid_for_once(windows: list[Window]) -> None:
    found = PldAccountant().epsilon(LIPSCHITZ_VAE, delta=1.5e-6, relation=ADD_OR_REMOVE_ONE)
    assert found.upper - found.lower > 0.1  # there is such a gap
    assert len({window.h for window in windows}) <= 2
    assert max(window.cells for window in windows) < 1 << 19


def test_the_upper_end_beside_that_gap_is_still_within_the_tolerance() -> None:
    rough = PldAccountant().epsilon(LIPSCHITZ_VAE, delta=1.5e-6, relation=ADD_OR_REMOVE_ONE).upper
    pairs = [
        (pair_of(leaf, ADD_OR_REMOVE_ONE, removing=True), 60_000)
        for leaf in [OnShards(AggregatePosterior(6000, 1, 2.571))]
    ]
    fine = solve.enclose_epsilon(pairs, 1.5e-6, Limits(5e-5, 1 << 21, upper_only=True))[1]
    assert fine <= rough * (1 + 1e-9) <= fine + 1e-3


def test_few_points_stand_for_a_million_atoms() -> None:
    pair = pair_of(DiscreteGaussian(8000.0, 1), ADD_OR_REMOVE_ONE, removing=True)
    losses, weights = pair.samples()
    seen = Pilot([(pair, 3)], math.log(1e-6))
    assert len(losses) > 20 * pilot._POINTS
    tilts = np.array([1.0, 1e3, 1e4])
    exact = 3 * np.log(np.exp(np.multiply.outer(tilts, losses)) @ weights)
    assert seen.log_moments(tilts) == pytest.approx(exact, rel=1e-3, abs=1e-8)  # the tails were cut
    # the range that a grid must hold is that of the atoms themselves
    assert seen.ranges[0].low in losses
    assert seen.ranges[0].high in losses


def test_a_histogram_beside_descents_is_priced_at_tiny_epsilon() -> None:
    event = Composed((DiscreteGaussian(8120.6, 3), SelfComposed(PoissonSampled(0.31, Gaussian(11_618.0)), 120)))
    found = PldAccountant().epsilon(event, delta=1e-4, relation=ADD_OR_REMOVE_ONE)
    assert found.upper - found.lower < 0.02 * found.upper < 1e-5
