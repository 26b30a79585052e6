"""Laws of exact discrete Gaussian noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.testing.statistics.law_test import POWER, LawTest, largest_gap

_REACH = 40
"""Scales out from 0: beyond lies less than e^-800 of the law."""

LARGEST_SCALE = 1e5
"""Of the tests here, which list the law cell by cell."""


def discrete_gaussian_masses(scale: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(support, probability): P(x) proportional to exp(-x^2 / (2 scale^2)) on the integers up to 40 scales out.

    Source: Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), definition 1. Raises: `InvalidValue` for a scale above
    `LARGEST_SCALE`.
    """
    validate.positive(scale=scale)
    if scale > LARGEST_SCALE:
        raise InvalidValue(f"a scale up to {LARGEST_SCALE:g} can be tested; found {scale:g}. Test a smaller one.")
    end = math.ceil(_REACH * scale) + 1
    support = np.arange(-end, end + 1)
    weights = np.exp(-(support.astype(np.float64) ** 2) / (2 * scale**2))
    return support, weights / weights.sum()


def discrete_gaussian_law(noise: NDArray[Any], *, scale: float, level: float) -> LawTest:
    """Do independent integer draws follow the discrete Gaussian? See `largest_gap` for level and smallest fault."""
    support, masses = discrete_gaussian_masses(scale)
    draws = np.clip(np.asarray(noise, dtype=np.int64).ravel(), support[0], support[-1])
    empirical = np.cumsum(np.bincount(draws - support[0], minlength=support.size)) / draws.size
    gap = float(np.abs(empirical - np.cumsum(masses)).max())
    return largest_gap("discrete gaussian law", gap, samples=draws.size, level=level)


def discrete_gaussian_deviation(noise: NDArray[Any], *, scale: float, level: float) -> LawTest:
    """Is the mean square of independent draws that of the discrete Gaussian?

    The statistic is the distance of the mean square from the exact variance, in standard errors. The level rests on
    the normal approximation of a mean of squares: draw at least ten thousand. `smallest_fault` is a relative fault of
    the scale, from the slope of the variance in the scale; this test sees less of it than `discrete_gaussian_law`.
    """
    validate.open_unit(level=level)
    samples = int(np.size(noise))
    validate.count(2, samples=samples)
    variance, error = _mean_square(scale, samples)
    found = float(np.square(np.asarray(noise, dtype=np.float64)).mean())
    threshold = float(stats.norm.isf(level / 2))
    step = 1e-4
    slope = (_mean_square(scale * (1 + step), samples)[0] - variance) / step
    return LawTest(
        name="discrete gaussian deviation",
        statistic=abs(found - variance) / error,
        threshold=threshold,
        level=level,
        samples=samples,
        smallest_fault=(threshold + float(stats.norm.ppf(POWER))) * error / slope,
    )


def _mean_square(scale: float, samples: int) -> tuple[float, float]:
    """The exact variance of one draw, and the standard error of the mean square of `samples` draws."""
    support, masses = discrete_gaussian_masses(scale)
    squares = support.astype(np.float64) ** 2
    variance, fourth = float(masses @ squares), float(masses @ squares**2)
    return variance, math.sqrt((fourth - variance**2) / samples)
