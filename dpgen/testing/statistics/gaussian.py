"""Laws of Gaussian noise: its deviation, its shape, and the independence of two vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dpgen import validate
from dpgen.testing.statistics.law_test import POWER, LawTest, largest_gap

Floats = NDArray[np.float64]


def gaussian_deviation(noise: NDArray[Any], *, deviation: float, level: float) -> LawTest:
    """Is the deviation of `noise`, independent N(0, deviation^2) draws, the claimed one?

    The statistic is |log(root mean square / deviation)|. Exact: the sum of squares over the variance follows
    chi-squared with n degrees. `smallest_fault` is a relative fault of the deviation, too small or too large: less
    noise by that share is rejected with probability `POWER`, and so is more.
    """
    validate.positive(deviation=deviation)
    validate.open_unit(level=level)
    samples = int(np.size(noise))
    validate.count(2, samples=samples)
    law = stats.chi2(samples)
    ratio = _log_ratio(float(np.square(np.asarray(noise, dtype=np.float64)).sum()), samples, deviation)
    # the wider side serves for both: the level stated is then an upper bound
    widths = (abs(_log_ratio(float(end), samples, 1.0)) for end in (law.ppf(level / 2), law.isf(level / 2)))
    threshold = max(widths)
    too_little = 1 - math.exp(-threshold - _log_ratio(float(law.ppf(POWER)), samples, 1.0))
    too_much = math.exp(threshold - _log_ratio(float(law.ppf(1 - POWER)), samples, 1.0)) - 1
    return LawTest(
        name="gaussian deviation",
        statistic=abs(ratio),
        threshold=threshold,
        level=level,
        samples=samples,
        smallest_fault=max(too_little, too_much),
    )


def _log_ratio(sum_of_squares: float, samples: int, deviation: float) -> float:
    """log(root mean square / deviation); minus infinity for no noise at all."""
    return 0.5 * math.log(sum_of_squares / samples) - math.log(deviation) if sum_of_squares > 0 else -math.inf


def gaussian_shape(noise: NDArray[Any], *, deviation: float, level: float) -> LawTest:
    """Do independent draws follow N(0, deviation^2)? See `largest_gap` for level and smallest fault.

    It sees a wrong mean, uniform or rounded noise; for a wrong deviation `gaussian_deviation` sees far less.
    """
    validate.positive(deviation=deviation)
    ordered = np.sort(np.asarray(noise, dtype=np.float64).ravel())
    samples = ordered.size
    claimed = stats.norm.cdf(ordered / deviation)
    steps = np.arange(samples + 1) / samples  # the empirical function jumps at every draw: both ends count
    gap = float(max(np.abs(claimed - steps[:-1]).max(), np.abs(claimed - steps[1:]).max()))
    return largest_gap("gaussian shape", gap, samples=samples, level=level)


def gaussian_independence(left: NDArray[Any], right: NDArray[Any], *, deviation: float, level: float) -> LawTest:
    """Are two vectors of equal length independent, `right` being N(0, deviation^2) draws?

    The statistic is |<left, right>| / (deviation |left|). Exact: given `left` it is the size of a standard normal draw.
    Take disjoint vectors (two steps; even and odd entries). `smallest_fault` is a correlation, to the accuracy of the
    normal approximation of its estimate.
    """
    validate.positive(deviation=deviation)
    validate.open_unit(level=level)
    first, second = (np.asarray(part, dtype=np.float64).ravel() for part in (left, right))
    length = float(np.linalg.norm(first))
    product = abs(float(first @ second)) / (deviation * length) if length > 0 else 0.0
    threshold = float(stats.norm.isf(level / 2))
    return LawTest(
        name="gaussian independence",
        statistic=product,
        threshold=threshold,
        level=level,
        samples=first.size,
        smallest_fault=min(1.0, (threshold + float(stats.norm.ppf(POWER))) / math.sqrt(first.size)),
    )
