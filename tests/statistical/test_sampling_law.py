"""Who joins a step, and the randomness of the rows: laws at false-alarm level 1e-9, with broken twins rejected.

The key is fixed, so a right source passes for ever. 10,000 steps of 200 ids at rate 0.05. With power 0.999 the total
sees a rate fault below 5 % (computed below). Also rejected: fixed-size batches, shuffled epochs, one coin for two ids,
one subset for two steps.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from dpgen.noise import SecureNoise, SeededNoise
from dpgen.testing.statistics import FalseAlarmBudget

FALSE_ALARMS = FalseAlarmBudget(1.4e-8, {"poisson": 10, "rows": 4})
LEVEL = FALSE_ALARMS.level("poisson")  # 1e-9
POWER = 0.999
STEPS, IDS, RATE = 10_000, 200, 0.05
CPU = torch.device("cpu")
SOURCE = SecureNoise(bytes(range(32))).under("law")  # a fixed key: the law under test is that of real runs


def binomial_pvalue(successes: int, trials: int, probability: float) -> float:
    law = stats.binom(trials, probability)
    return min(1.0, 2 * min(law.cdf(successes), law.sf(successes - 1)))


@pytest.fixture(scope="module")
def joined() -> np.ndarray:
    """`[steps, ids]`: who joined."""
    table = np.zeros((STEPS, IDS), dtype=bool)
    for step in range(STEPS):
        table[step, SOURCE.poisson_subset(np.arange(IDS), probability=RATE, step=step)] = True
    return table


def total_pvalue(table: np.ndarray) -> float:
    return binomial_pvalue(int(table.sum()), table.size, RATE)


def dispersion_pvalue(counts: np.ndarray, trials: int) -> float:
    """Are the counts as spread out as binomial ones? Too even is as wrong as too uneven."""
    statistic = ((counts - trials * RATE) ** 2).sum() / (trials * RATE * (1 - RATE))
    law = stats.chi2(counts.size)
    return float(2 * min(law.cdf(statistic), law.sf(statistic)))


def pair_pvalue(left: np.ndarray, right: np.ndarray) -> float:
    """Do two coins come up together as often as independent ones, with probability RATE^2?"""
    return binomial_pvalue(int((left & right).sum()), left.size, RATE**2)


def test_poisson_total_and_sizes(joined):
    assert total_pvalue(joined) > LEVEL
    assert dispersion_pvalue(joined.sum(axis=1), IDS) > LEVEL
    quantiles = stats.norm.isf(LEVEL / 2) + stats.norm.isf(1 - POWER)
    assert quantiles * np.sqrt((1 - RATE) / (RATE * joined.size)) < 0.05
    more = np.random.default_rng(0).random((STEPS, IDS)) < RATE * 1.05
    assert total_pvalue(more) < LEVEL
    fixed = np.zeros_like(joined)
    fixed[:, : int(RATE * IDS)] = True
    assert dispersion_pvalue(np.random.default_rng(0).permuted(fixed, axis=1).sum(axis=1), IDS) < LEVEL


def test_poisson_inclusion_of_each_id(joined):
    assert dispersion_pvalue(joined.sum(axis=0), STEPS) > LEVEL
    shuffled = np.zeros_like(joined)  # epochs of disjoint batches: every id joins equally often
    rng, batch = np.random.default_rng(0), int(RATE * IDS)
    for step in range(STEPS):
        if step % (IDS // batch) == 0:
            order = rng.permutation(IDS)
        shuffled[step, order[: (step % (IDS // batch) + 1) * batch][-batch:]] = True
    assert total_pvalue(shuffled) > LEVEL  # its sizes look right ...
    assert dispersion_pvalue(shuffled.sum(axis=0), STEPS) < LEVEL  # ... its inclusions do not


def test_poisson_pairs_are_independent(joined):
    for shift in (1, 2, 100):
        assert pair_pvalue(joined[:, shift:], joined[:, :-shift]) > LEVEL
    for shift in (1, 2, 100):
        assert pair_pvalue(joined[shift:], joined[:-shift]) > LEVEL
    shared = np.repeat(joined[:, ::2], 2, axis=1)  # one coin for two ids
    assert pair_pvalue(shared[:, 1:], shared[:, :-1]) < LEVEL
    stuck = np.repeat(joined[::2], 2, axis=0)  # one subset for two steps
    assert pair_pvalue(stuck[1:], stuck[:-1]) < LEVEL


@pytest.mark.parametrize("source", [SOURCE, SeededNoise(0)], ids=["secure", "seeded"])
def test_row_draws_follow_their_laws(source):
    rows = source.row_random(np.arange(500), views=2, device=CPU)
    normal, uniform = rows.normal(100).double().numpy().ravel(), rows.uniform(100).double().numpy().ravel()
    assert stats.kstest(normal, "norm").pvalue > LEVEL
    assert stats.kstest(uniform, "uniform").pvalue > LEVEL
    assert stats.kstest(normal * 1.05, "norm").pvalue < LEVEL
    assert stats.kstest(uniform**1.05, "uniform").pvalue < LEVEL


def moments_pvalue(normal: np.ndarray) -> float:
    """The worst of the first four moments; under the law each is normal with these deviations, for so many draws."""
    expected = [0.0, 1.0, 0.0, 3.0]
    deviations = np.sqrt(np.array([1.0, 2.0, 15.0, 96.0]) / normal.size)
    scores = [abs((normal**power).mean() - expected[power - 1]) / deviations[power - 1] for power in (1, 2, 3, 4)]
    return float(min(1.0, 4 * 2 * stats.norm.sf(max(scores))))


def correlation_pvalue(left: np.ndarray, right: np.ndarray) -> float:
    """Of the draws, and of their squares: what shares a radius or an angle has dependent squares."""
    plain = (left * right).mean() * np.sqrt(left.size)
    squared = ((left**2 - 1) * (right**2 - 1)).mean() / 2 * np.sqrt(left.size)
    return float(min(1.0, 2 * 2 * stats.norm.sf(max(abs(plain), abs(squared)))))


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    """`[steps, calls, records, views, draws]`."""

    def calls(step: int) -> list[np.ndarray]:
        random = SOURCE.row_random(np.arange(300), views=4, step=step, device=CPU)
        return [random.normal(101).double().numpy().reshape(300, 4, 101) for _ in range(2)]

    return np.array([calls(step) for step in range(2)])


def test_row_normals_have_their_moments(normals):
    assert moments_pvalue(normals.ravel()) > LEVEL
    assert moments_pvalue(normals.ravel() * 1.02) < LEVEL
    assert moments_pvalue(np.clip(normals.ravel(), -2.5, 2.5)) < LEVEL  # the tails cut off


@pytest.mark.parametrize("axis", range(5), ids=["steps", "calls", "records", "views", "draws"])
def test_row_normals_are_independent_along_each_part_of_the_address(normals, axis):
    along = np.moveaxis(normals, axis, 0)
    for shift in {1, 25, 26, along.shape[0] // 2} - {0} if axis == 4 else {1}:  # 26: the two halves of a pair of words
        assert correlation_pvalue(along[shift:].ravel(), along[:-shift].ravel()) > LEVEL
    shared = np.concatenate([along[:1], along[:1]])  # one draw for two places
    assert correlation_pvalue(shared[0].ravel(), shared[1].ravel()) < LEVEL
    same_radius = -shared[1] * np.sign(shared[0] * shared[1] + 0.5)
    assert correlation_pvalue(shared[0].ravel(), same_radius.ravel()) < LEVEL
