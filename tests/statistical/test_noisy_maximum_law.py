"""The law of one-sided geometric noise, and the promise of the noisy maximum on its worst neighbours.

The key is fixed, so a right source passes for ever. False-alarm level of each assertion 3e-9.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dpgen.noise import SecureNoise
from dpgen.testing.statistics import FalseAlarmBudget

FALSE_ALARMS = FalseAlarmBudget(1.2e-8, {"geometric": 3, "promise": 1})
LEVEL = FALSE_ALARMS.level("geometric")
ERRORS = float(stats.norm.isf(FALSE_ALARMS.level("promise")))  # standard errors at that level
SOURCE = SecureNoise(bytes(range(32))).under("noisy maximum")


def fit(draws: np.ndarray, scale: float) -> float:
    """p-value of Pearson's test of P(k) proportional to exp(-k / scale), the tail in one cell."""
    cells = max(3, int(3 * scale))
    expected = np.exp(-np.arange(cells + 1) / scale)
    expected[:-1] -= expected[1:]
    seen = np.bincount(np.minimum(draws, cells), minlength=cells + 1)
    return float(stats.chisquare(seen, expected * len(draws)).pvalue)


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_geometric_law(scale: int) -> None:
    draws = SOURCE.geometric(np.zeros(40_000, dtype=np.int64), scale=scale, sensitivity=1, step=scale)
    assert draws.min() == 0
    assert fit(draws, scale) > LEVEL
    assert fit(draws, 1.05 * scale) < LEVEL  # a scale that is off by 5 % would be seen
    assert fit(np.maximum(draws - 1, 0), scale) < LEVEL  # so would a shift by one


def wins_of_first(counts: list[int], scale: int, trials: int, *, step: int) -> int:
    """How often candidate 0 of `counts` wins."""
    noisy = SOURCE.geometric(np.tile(np.array(counts), (trials, 1)), scale=scale, sensitivity=1, step=step)
    return int((noisy.argmax(1) == 0).sum())


def excess(wins: int, other: int, trials: int, epsilon: float) -> float:
    """Standard errors by which the first probability exceeds e^epsilon times the other."""
    first, second = wins / trials, other / trials
    error = math.sqrt((first * (1 - first) + math.exp(2 * epsilon) * second * (1 - second)) / trials)
    return (first - math.exp(epsilon) * second) / error


def test_one_vote_for_many_classifiers_keeps_its_price_and_uncomposed_votes_do_not() -> None:
    scale, trials = 2, 40_000
    wins, other = (
        wins_of_first(counts, scale, trials, step=100 + at) for at, counts in enumerate(([6, 9, 9], [6, 10, 10]))
    )
    assert excess(wins, other, trials, 1 / scale) < ERRORS
    # The twin: one vote for each of three classifiers, at the price of one. Candidate 0 wins all three.
    assert excess_of_three(scale, trials) > ERRORS


def excess_of_three(scale: int, trials: int) -> float:
    together = []
    for at, counts in enumerate(([9, 9], [9, 10])):
        noisy = SOURCE.geometric(np.tile(np.array(counts), (trials, 3, 1)), scale=scale, sensitivity=1, step=200 + at)
        together.append(int((noisy.argmax(2) == 0).all(1).sum()))
    return excess(together[0], together[1], trials, 1 / scale)
