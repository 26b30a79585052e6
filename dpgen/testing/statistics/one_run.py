"""A lower bound on epsilon from a single run in which many canaries took part or not, each by its own fair coin.

Source: Steinke, Nasr, Jagielski 2023 (arXiv 2305.08846).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.rates import Scores

GUESSED_SHARES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the canaries that are guessed at; each gets its part of the level."""

_HALVINGS: Final = 24


def one_run_p_value(*, canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The chance of at least `correct` right guesses, at most, if the run were (epsilon, delta)-DP (add or remove).

    Source: Steinke, Nasr, Jagielski 2023 (arXiv 2305.08846), corollary 5.4. With W ~ Binomial(r, e^eps / (1 + e^eps)),
        P(right >= v) <= P(W >= v) + 2 m delta max over 1 <= i <= v of P(v > W >= v - i) / i.
    """
    validate.not_negative(epsilon=epsilon)
    validate.probability(delta=delta)
    validate.count(0, correct=correct)
    if not correct <= guesses <= canaries:
        raise InvalidValue(f"expected correct <= guesses <= canaries; found {correct}, {guesses}, {canaries}.")
    accuracy = 1 / (1 + math.exp(-epsilon))  # of randomised response
    law = stats.binom(guesses, accuracy)
    at_least = float(law.sf(correct - 1))
    fewer = np.arange(1, correct + 1)
    # P(v > W >= v - i) as a sum of masses: a difference of tails would lose its digits
    just_below = np.cumsum(law.pmf(correct - fewer)) / fewer
    return min(1.0, at_least + 2 * canaries * delta * float(just_below.max(initial=0.0)))


def one_run_epsilon(*, canaries: int, guesses: int, correct: int, delta: float, level: float) -> float:
    """The largest epsilon that `one_run_p_value` rejects at `level`, rounded down; 0 where it rejects none."""
    validate.open_unit(level=level)

    def rejected(epsilon: float) -> bool:
        settings = {"canaries": canaries, "guesses": guesses, "correct": correct}
        return one_run_p_value(**settings, epsilon=epsilon, delta=delta) <= level

    if not rejected(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while rejected(high) and high < 64:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def one_run_bound(
    scores: Scores,
    took_part: NDArray[np.bool_],
    *,
    delta: float,
    level: float,
    claimed: float,
    shares: Sequence[float] = GUESSED_SHARES,
) -> EpsilonBound:
    """The bound from one run: the highest scores are guessed "in", as many of the lowest "out", the rest not at all.

    Args: `scores` one a canary, larger for "in"; `took_part` the coins, fair and independent, that decided it;
    `shares` of the canaries to guess, each tested at its part of `level` (Bonferroni).
    Returns: loose and assumes nothing: with 1,000 canaries and a true epsilon of 8 expect 2.
    """
    order, canaries = np.argsort(scores, kind="stable"), int(scores.size)
    epsilons = []
    for share in shares:
        half = max(1, int(share * canaries / 2))
        correct = int(took_part[order[-half:]].sum() + (~took_part[order[:half]]).sum())
        settings = {"canaries": canaries, "guesses": 2 * half, "correct": correct}
        epsilons.append(one_run_epsilon(**settings, delta=delta, level=level / len(shares)))
    return EpsilonBound(
        attack="one run, many canaries",
        family="",
        lower=max(epsilons),
        claimed=claimed,
        delta=delta,
        level=level,
        samples=canaries,
    )
