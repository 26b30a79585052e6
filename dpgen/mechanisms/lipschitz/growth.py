"""How far a map can move its input, how large its output is, and how far its computation strays; and compositions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

ROUNDOFF = 2.0**-53
"""Of one operation in float64, relative."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Four bounds of a map f between Euclidean spaces, and of F, the same map computed in float64.

    |f(x) - f(y)| <= lipschitz |x - y|,  |f(0)| <= offset,  |F(x) - f(x)| <= error_slope |x| + error_offset.
    """

    lipschitz: float
    offset: float = 0.0
    error_slope: float = 0.0
    error_offset: float = 0.0

    def then(self, after: Growth) -> Growth:
        """The map `after` applied to what this one gives.

        |G(F(x)) - g(f(x))| <= |G(F(x)) - g(F(x))| + L_g |F(x) - f(x)|, and |F(x)| <= |f(x)| + |F(x) - f(x)|.
        """
        return Growth(
            self.lipschitz * after.lipschitz,
            after.lipschitz * self.offset + after.offset,
            after.error_slope * (self.lipschitz + self.error_slope) + after.lipschitz * self.error_slope,
            after.error_slope * (self.offset + self.error_offset)
            + after.error_offset
            + after.lipschitz * self.error_offset,
        )

    def error(self, radius: float) -> float:
        """How far F strays from f on inputs of norm at most `radius`."""
        return self.error_slope * radius + self.error_offset


IDENTITY = Growth(1.0)


def added(first: Growth, second: Growth) -> Growth:
    """The sum of two maps of one input, with the rounding of the addition."""
    lipschitz, offset = first.lipschitz + second.lipschitz, first.offset + second.offset
    slope, constant = first.error_slope + second.error_slope, first.error_offset + second.error_offset
    return Growth(
        lipschitz,
        offset,
        slope + ROUNDOFF * (lipschitz + slope),
        constant + ROUNDOFF * (offset + constant),
    )


def side_by_side(branches: Iterable[Growth]) -> Growth:
    """Several maps of one input, their outputs concatenated: squares add up."""
    parts = tuple(branches)
    return Growth(
        math.hypot(*(part.lipschitz for part in parts)),
        math.hypot(*(part.offset for part in parts)),
        sum(part.error_slope for part in parts),
        sum(part.error_offset for part in parts),
    )
