"""The shipped law tests: right sources pass, and a broken twin of the smallest fault stated is rejected.

Fixed keys throughout, so a right source passes for ever; the levels say how surprising a failure after a change is.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dpgen.errors import InvalidValue
from dpgen.noise import SecureNoise
from dpgen.testing.statistics import (
    SUITE_FALSE_ALARMS,
    FalseAlarmBudget,
    LawTest,
    discrete_gaussian_deviation,
    discrete_gaussian_law,
    gaussian_deviation,
    gaussian_independence,
    gaussian_shape,
    joined_table,
    poisson_inclusions,
    poisson_pairs,
    poisson_rate,
    poisson_sizes,
    require_within,
)

FALSE_ALARMS = FalseAlarmBudget(2e-8, {"gaussian": 5, "discrete": 4, "poisson": 5})
LEVEL = FALSE_ALARMS.level("gaussian")
SOURCE = SecureNoise(bytes(range(32))).under("shipped law tests")
RANDOM = np.random.default_rng(0)
DRAWS, CELLS = 100_000, 50_000
STEPS, IDS, RATE = 300, 2_000, 0.05


def gaussian(deviation: float = 1.0, step: int = 0) -> np.ndarray:
    return SOURCE.gaussian(np.zeros(DRAWS), standard_deviation=deviation, sensitivity=1.0, step=step)


def discrete(scale: float) -> np.ndarray:
    return SOURCE.discrete_gaussian(np.zeros(CELLS, dtype=np.int64), scale=scale, sensitivity=1.0)


@pytest.fixture(scope="module")
def joined() -> np.ndarray:
    return joined_table(SOURCE, ids=IDS, steps=STEPS, probability=RATE)


@pytest.mark.parametrize("deviation", [1e-3, 1.0, 1e3])
def test_gaussian_deviation_sees_its_smallest_fault(deviation: float) -> None:
    found = gaussian_deviation(gaussian(deviation), deviation=deviation, level=LEVEL)
    assert found.passed
    assert found.smallest_fault < 0.022
    for factor in (1 - found.smallest_fault, 1 + found.smallest_fault):
        assert not gaussian_deviation(gaussian(deviation) * factor, deviation=deviation, level=LEVEL).passed


def test_gaussian_shape_and_independence() -> None:
    first, second = gaussian(), gaussian(step=1)
    assert gaussian_shape(first, deviation=1.0, level=LEVEL).passed
    assert gaussian_independence(first, second, deviation=1.0, level=LEVEL).passed
    gap = gaussian_shape(first, deviation=1.0, level=LEVEL).smallest_fault
    moved = stats.norm.ppf(0.5 + gap)  # moves the distribution function by that much at 0
    assert not gaussian_shape(first + moved, deviation=1.0, level=LEVEL).passed
    uniform = RANDOM.uniform(-np.sqrt(3), np.sqrt(3), DRAWS)
    assert not gaussian_shape(uniform, deviation=1.0, level=LEVEL).passed
    trace = gaussian_independence(first, second, deviation=1.0, level=LEVEL).smallest_fault
    shared = trace * first + np.sqrt(1 - trace**2) * second
    assert not gaussian_independence(first, shared, deviation=1.0, level=LEVEL).passed


@pytest.mark.parametrize("scale", [0.5, 2.5])
def test_discrete_gaussian(scale: float) -> None:
    found = discrete_gaussian_deviation(discrete(scale), scale=scale, level=LEVEL)
    assert found.passed
    assert discrete_gaussian_law(discrete(scale), scale=scale, level=LEVEL).passed
    fault = 1 + 1.1 * found.smallest_fault  # a tenth more for the slope, which bends over a fault of this size
    assert not discrete_gaussian_deviation(discrete(scale * fault), scale=scale, level=LEVEL).passed


def test_discrete_gaussian_is_not_rounded_gaussian() -> None:
    rounded = np.rint(gaussian(0.5)[:CELLS]).astype(np.int64)
    assert not discrete_gaussian_law(rounded, scale=0.5, level=LEVEL).passed


def poisson(joined: np.ndarray) -> dict[str, LawTest]:
    claim = {"probability": RATE, "level": LEVEL}
    return {
        "rate": poisson_rate(joined, **claim),
        "sizes": poisson_sizes(joined, **claim),
        "inclusions": poisson_inclusions(joined, **claim),
        "steps": poisson_pairs(joined, **claim, axis=0),
        "ids": poisson_pairs(joined, **claim, axis=1),
    }


def test_poisson_samples(joined: np.ndarray) -> None:
    assert all(found.passed for found in poisson(joined).values())


def fixed_sizes() -> np.ndarray:
    table = np.zeros((STEPS, IDS), dtype=np.bool_)
    table[:, : int(RATE * IDS)] = True
    return RANDOM.permuted(table, axis=1)


def shuffled_epochs() -> np.ndarray:
    table, batch = np.zeros((STEPS, IDS), dtype=np.bool_), int(RATE * IDS)
    for step in range(STEPS):
        if step % (IDS // batch) == 0:
            order = RANDOM.permutation(IDS)
        table[step, order[(step * batch) % IDS :][:batch]] = True
    return table


BROKEN = {
    "rate": lambda table: RANDOM.random(table.shape) < RATE * (1 + poisson(table)["rate"].smallest_fault),
    "sizes": lambda table: fixed_sizes(),
    "inclusions": lambda table: shuffled_epochs(),
    "steps": lambda table: np.repeat(table[::2], 2, axis=0),
    "ids": lambda table: np.repeat(table[:, ::2], 2, axis=1),
}


@pytest.mark.parametrize("law", BROKEN)
def test_a_broken_sampler_is_rejected_by_its_law(law: str, joined: np.ndarray) -> None:
    assert not poisson(BROKEN[law](joined))[law].passed


@pytest.mark.statistical_deep
def test_the_stated_power_and_level_hold() -> None:
    """2,000 small samples each: at level 0.01 at most 1 % right ones fail, of the smallest fault 0.1 % pass."""
    level, size, tries = 0.01, 500, 2_000
    noise = np.random.default_rng(1).standard_normal((tries, size))
    fault = gaussian_deviation(noise[0], deviation=1.0, level=level).smallest_fault
    wrong = sum(not gaussian_deviation(row, deviation=1.0, level=level).passed for row in noise)
    missed = sum(gaussian_deviation(row * (1 - fault), deviation=1.0, level=level).passed for row in noise)
    assert wrong < stats.binom.isf(1e-6, tries, level)
    assert missed < stats.binom.isf(1e-6, tries, 0.001)


def test_nothing_and_nonsense_never_pass() -> None:
    assert not gaussian_deviation(np.zeros(DRAWS), deviation=1.0, level=LEVEL).passed
    nothing = np.full(DRAWS, np.nan)
    assert not gaussian_deviation(nothing, deviation=1.0, level=LEVEL).passed
    assert not gaussian_shape(nothing, deviation=1.0, level=LEVEL).passed
    with pytest.raises(InvalidValue):
        gaussian_deviation(gaussian(), deviation=1.0, level=0.0)


def test_a_budget_is_shared_and_never_overdrawn() -> None:
    budget = FalseAlarmBudget(1e-6, {"one": 3, "two": 1})
    assert budget.level("one") == budget.level("two") == 1e-6 / 4
    with pytest.raises(InvalidValue, match="three"):
        budget.level("three")
    with pytest.raises(InvalidValue):
        require_within([budget, FalseAlarmBudget(1e-9, {"more": 1})], total=SUITE_FALSE_ALARMS)
    for total, assertions in ((0.0, {"one": 1}), (1e-6, {}), (1e-6, {"one": 0})):
        with pytest.raises(InvalidValue):
            FalseAlarmBudget(total, assertions)
