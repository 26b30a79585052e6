"""The laws of the noise, each tested at false-alarm level 1e-9, and each test shown to reject a broken source.

The key is fixed, so a right source passes for ever; the level says how surprising a failure after a change would be.
The smallest faults seen with power 0.999 are computed in the tests themselves:
  scale of the Gaussian           N = 200,000   below 1.5 % (2 % is rejected here)
  scale of the discrete Gaussian  N = 100,000   below 4 %   (5 % is rejected here)
Also rejected: uniform noise of the right variance, a draw shared by two steps, rounded continuous noise, 0 counted
twice, one draw for two cells.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dpgen.noise import SecureNoise
from dpgen.noise.discrete import _discrete_laplace
from dpgen.noise.streams import Stream
from dpgen.testing.statistics import FalseAlarmBudget

FALSE_ALARMS = FalseAlarmBudget(2.4e-8, {"gaussian": 7, "discrete": 16, "laplace": 1})
LEVEL = FALSE_ALARMS.level("gaussian")  # 1e-9
POWER = 0.999
SOURCE = SecureNoise(bytes(range(32))).under("law")  # a fixed key: the law under test is that of real runs


# --- Gaussian -------------------------------------------------------------------------------------------------------

DRAWS = 200_000


def variance_pvalue(noise: np.ndarray, deviation: float) -> float:
    """Exact for Gaussian noise: the sum of squares over the variance follows chi-squared with N degrees."""
    law, statistic = stats.chi2(noise.size), float((noise**2).sum()) / deviation**2
    return 2 * min(law.cdf(statistic), law.sf(statistic))


def smallest_scale_fault() -> float:
    """The smallest relative excess of the scale that the variance test rejects with probability POWER."""
    law = stats.chi2(DRAWS)
    return float(np.sqrt(law.isf(LEVEL / 2) / law.ppf(1 - POWER))) - 1


def gaussian(deviation: float) -> np.ndarray:
    return SOURCE.gaussian(np.full(DRAWS, 7.0), standard_deviation=deviation, sensitivity=1.0) - 7.0


@pytest.mark.parametrize("deviation", [1e-3, 1.0, 1e3])
def test_gaussian_scale(deviation):
    noise = gaussian(deviation)
    assert variance_pvalue(noise, deviation) > LEVEL
    assert smallest_scale_fault() < 0.015
    for factor in (0.98, 1 / 0.98):
        assert variance_pvalue(noise * factor, deviation) < LEVEL


def test_gaussian_shape_and_mean():
    noise = gaussian(2.0) / 2.0
    assert stats.kstest(noise, "norm").pvalue > LEVEL
    assert abs(noise.mean()) * np.sqrt(DRAWS) < stats.norm.isf(LEVEL / 2)
    uniform = np.random.default_rng(0).uniform(-np.sqrt(3), np.sqrt(3), DRAWS)  # right mean and variance, wrong law
    assert stats.kstest(uniform, "norm").pvalue < LEVEL
    assert abs((noise + 0.02).mean()) * np.sqrt(DRAWS) > stats.norm.isf(LEVEL / 2)


def test_gaussian_entries_and_steps_are_independent():
    first, second = (
        SOURCE.gaussian(np.zeros(DRAWS), standard_deviation=1.0, sensitivity=1.0, step=step) for step in (0, 1)
    )

    def pvalue(left: np.ndarray, right: np.ndarray) -> float:
        return 2 * stats.norm.sf(abs((left * right).sum()) / np.sqrt(left.size))

    assert pvalue(first, second) > LEVEL
    assert pvalue(first[1:], first[:-1]) > LEVEL
    assert pvalue(first, first) < LEVEL  # a draw shared by two steps
    assert pvalue(first, np.repeat(second[::20], 20) * 0.02 + first * 0.02) < LEVEL  # even a trace of it


# --- discrete Gaussian ----------------------------------------------------------------------------------------------

CELLS = 100_000


def pmf(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers up to 40 scales out, and their probabilities: exp(-x^2 / (2 scale^2)) over its sum."""
    support = np.arange(-int(40 * scale) - 1, int(40 * scale) + 2)
    weight = np.exp(-(support.astype(float) ** 2) / (2 * scale**2))
    return support, weight / weight.sum()


def law_pvalue(noise: np.ndarray, scale: float) -> float:
    """Pearson's chi-squared against the exact law; cells that expect under 10 draws are pooled at either end."""
    support, probability = pmf(scale)
    common = support[probability * noise.size >= 10]
    clipped = np.clip(noise, common[0] - 1, common[-1] + 1)
    observed = np.bincount(clipped - common[0] + 1, minlength=common.size + 2)
    expected = noise.size * np.array(
        [
            probability[support < common[0]].sum(),
            *probability[np.isin(support, common)],
            probability[support > common[-1]].sum(),
        ]
    )
    observed[1] += observed[0]
    observed[-2] += observed[-1]
    expected[1] += expected[0]
    expected[-2] += expected[-1]
    statistic = ((observed - expected)[1:-1] ** 2 / expected[1:-1]).sum()
    return float(stats.chi2(common.size - 1).sf(statistic))


def mean_square(scale: float) -> tuple[float, float]:
    """The exact variance, and the deviation of the mean square of CELLS draws."""
    support, probability = pmf(scale)
    square = support.astype(float) ** 2
    variance, fourth = (probability * square).sum(), (probability * square**2).sum()
    return variance, np.sqrt((fourth - variance**2) / CELLS)


def discrete_variance_pvalue(noise: np.ndarray, scale: float) -> float:
    """The mean square is nearly normal around the exact variance."""
    variance, deviation = mean_square(scale)
    return float(2 * stats.norm.sf(abs(((noise.astype(float) ** 2).mean() - variance) / deviation)))


def smallest_discrete_fault(scale: float) -> float:
    """The relative fault of the scale that moves the mean square by the quantiles of LEVEL and POWER together."""
    shift = (stats.norm.isf(LEVEL / 2) + stats.norm.isf(1 - POWER)) * mean_square(scale)[1]
    step = 1e-4 * scale
    return float(shift / ((mean_square(scale + step)[0] - mean_square(scale)[0]) / step) / scale)


def discrete(scale: float) -> np.ndarray:
    return SOURCE.discrete_gaussian(np.full(CELLS, 7), scale=scale, sensitivity=1.0) - 7


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5, 35.0])
def test_discrete_gaussian_law(scale):
    noise = discrete(scale)
    assert law_pvalue(noise, scale) > LEVEL
    assert discrete_variance_pvalue(noise, scale) > LEVEL
    assert smallest_discrete_fault(scale) < 0.04


@pytest.mark.parametrize("scale", [0.5, 2.5, 35.0])
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_discrete_scale_off_by_five_percent_is_seen(scale, factor):
    wrong = discrete(scale * factor)
    assert discrete_variance_pvalue(wrong, scale) < LEVEL
    assert scale > 30 or law_pvalue(wrong, scale) < LEVEL  # many cells dilute Pearson's test: the variance sees it


def test_rounded_continuous_noise_is_seen():
    """At small scales rounding is another law: P(0) = 0.68 instead of 0.79 at scale 0.5. It is priced as neither."""
    rounded = np.rint(SOURCE.gaussian(np.zeros(CELLS), standard_deviation=0.5, sensitivity=1.0)).astype(int)
    assert law_pvalue(rounded, 0.5) < LEVEL
    assert discrete_variance_pvalue(rounded, 0.5) < LEVEL


def test_a_sampler_that_counts_zero_twice_is_seen():
    """The classic slip: the sign is drawn without rejecting minus zero, so that 0 comes up twice as often."""
    support, probability = pmf(2.5)
    wrong = np.where(support == 0, 2 * probability, probability)
    noise = np.random.default_rng(0).choice(support, CELLS, p=wrong / wrong.sum())
    assert law_pvalue(noise, 2.5) < LEVEL


def test_discrete_noise_is_independent_between_cells():
    noise = discrete(2.5).astype(float)
    variance, _ = mean_square(2.5)
    for lag in (1, 2, 7):
        z = (noise[lag:] * noise[:-lag]).sum() / variance / np.sqrt(CELLS - lag)
        assert abs(z) < stats.norm.isf(LEVEL / 2)
    doubled = np.repeat(noise[::2], 2)
    z = (doubled[1:] * doubled[:-1]).sum() / variance / np.sqrt(CELLS - 1)
    assert abs(z) > stats.norm.isf(LEVEL / 2)


def laplace_pvalue(draws: np.ndarray, t: int) -> float:
    """Pearson's chi-squared against P(y) = tanh(1 / (2 t)) exp(-|y| / t), the tails beyond 10 pooled."""
    support = np.arange(-10, 11)
    probability = np.tanh(1 / (2 * t)) * np.exp(-np.abs(support) / t)
    observed = np.array([(draws == y).sum() for y in support])
    observed = np.append(observed, draws.size - observed.sum())
    expected = draws.size * np.append(probability, 1 - probability.sum())
    return float(stats.chi2(support.size).sf(((observed - expected) ** 2 / expected).sum()))


def test_laplace_proposals_follow_their_law():
    """Algorithm 2 on its own, so that a fault in it cannot hide behind the acceptance step."""
    draws = _discrete_laplace(CELLS, 3, Stream(bytes(32)))
    assert laplace_pvalue(draws, 3) > LEVEL
    assert laplace_pvalue(np.where(np.arange(CELLS) % 20 == 0, 0, draws), 3) < LEVEL  # one in twenty forgotten
    assert laplace_pvalue(_discrete_laplace(CELLS, 2, Stream(bytes(32))), 3) < LEVEL
