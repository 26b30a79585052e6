"""What a test of a law finds: one number against one threshold, at a stated level, and what it could have missed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpgen import validate

POWER = 0.999
"""A fault of `smallest_fault` or more is rejected with at least this probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LawTest:
    """The result of one test.

    A right source passes with probability at least 1 - `level`; `samples` is how much it drew. `smallest_fault` is the
    size of the smallest fault that is rejected with probability `POWER`, measured as the test that made this says.
    A test that passes proves nothing: it could not have seen a smaller fault, nor one of another kind.
    """

    name: str
    statistic: float
    threshold: float
    level: float
    samples: int
    smallest_fault: float

    @property
    def passed(self) -> bool:
        """Is the statistic within the threshold? NaN is not."""
        return self.statistic <= self.threshold


def largest_gap(name: str, gap: float, *, samples: int, level: float) -> LawTest:
    """A test of the largest distance `gap` between the empirical and the claimed distribution function.

    The level holds for every law and every sample size: P(gap > t) <= 2 exp(-2 n t^2) (Dvoretzky, Kiefer, Wolfowitz
    1956, with the constant of Massart 1990). `smallest_fault` is a distance between distribution functions: where the
    true one lies that far off, P(the empirical one comes back by s) <= exp(-2 n s^2) (Hoeffding 1963, theorem 1).
    """
    validate.open_unit(level=level)
    validate.count(1, samples=samples)
    threshold = math.sqrt(math.log(2 / level) / (2 * samples))
    return LawTest(
        name=name,
        statistic=gap,
        threshold=threshold,
        level=level,
        samples=samples,
        smallest_fault=threshold + math.sqrt(math.log(1 / (1 - POWER)) / (2 * samples)),
    )
