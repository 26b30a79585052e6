"""Laws of Poisson samples: how many join, each id as often as another, no two coins the same.

`joined` is a table `[steps, ids]` of flags: who joined which step. Every level here is exact for finite samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.noise import NoiseSource
from dpgen.testing.statistics.law_test import POWER, LawTest, largest_gap

Flags = NDArray[np.bool_]


def joined_table(source: NoiseSource, *, ids: int, steps: int, probability: float) -> Flags:
    """Who joins which step when `source` samples the ids 0 .. ids - 1."""
    table = np.zeros((steps, ids), dtype=np.bool_)
    for step in range(steps):
        table[step, source.poisson_subset(np.arange(ids), probability=probability, step=step)] = True
    return table


def poisson_rate(joined: Flags, *, probability: float, level: float) -> LawTest:
    """Do as many join as should? The total is binomial; `smallest_fault` is relative to `probability`."""
    return _binomial("poisson rate", int(joined.sum()), joined.size, probability, level)


def poisson_sizes(joined: Flags, *, probability: float, level: float) -> LawTest:
    """Are the sizes of the steps binomial? Batches of a fixed size are not. See `largest_gap`."""
    return _binomial_counts("poisson sizes", joined.sum(axis=1), joined.shape[1], probability, level)


def poisson_inclusions(joined: Flags, *, probability: float, level: float) -> LawTest:
    """Is the number of steps that each id joins binomial? Under shuffled epochs it is not. See `largest_gap`."""
    return _binomial_counts("poisson inclusions", joined.sum(axis=0), joined.shape[0], probability, level)


def poisson_pairs(joined: Flags, *, probability: float, level: float, axis: int) -> LawTest:
    """Do neighbouring coins come up together as often as independent ones, with probability^2?

    `axis` 0 pairs each step with the next one, 1 each id with the next one; the pairs are disjoint, so the number of
    coincidences is binomial. `smallest_fault` is relative to probability^2.
    """
    validate.open_unit(probability=probability)
    pairs = joined if axis == 1 else joined.T
    width = pairs.shape[1] // 2 * 2
    together = pairs[:, 0:width:2] & pairs[:, 1:width:2]
    return _binomial(f"poisson pairs, axis {axis}", int(together.sum()), together.size, probability**2, level)


def _binomial(name: str, successes: int, trials: int, probability: float, level: float) -> LawTest:
    """The statistic is how far `successes` lies from its mean; the wider quantile of the binomial is the threshold."""
    validate.open_unit(probability=probability, level=level)
    validate.count(1, trials=trials)
    law, mean = stats.binom(trials, probability), trials * probability
    threshold = max(mean - float(law.ppf(level / 2)), float(law.isf(level / 2)) - mean)
    fault = (threshold + float(stats.norm.ppf(POWER)) * math.sqrt(mean)) / mean  # Poisson's deviation bounds binomial's
    grown = threshold + float(stats.norm.ppf(POWER)) * math.sqrt(mean * (1 + fault))  # of the faulty law itself
    return LawTest(
        name=name,
        statistic=abs(successes - mean),
        threshold=threshold,
        level=level,
        samples=trials,
        smallest_fault=grown / mean,
    )


def _binomial_counts(name: str, counts: NDArray[np.int64], trials: int, probability: float, level: float) -> LawTest:
    validate.open_unit(probability=probability)
    if counts.ndim != 1 or not counts.size:
        raise InvalidValue("a table of joined ids needs two axes, neither empty; found another shape.")
    empirical = np.cumsum(np.bincount(counts, minlength=trials + 1)) / counts.size
    gap = float(np.abs(empirical - stats.binom(trials, probability).cdf(np.arange(trials + 1))).max())
    return largest_gap(name, gap, samples=counts.size, level=level)
