"""How many observations an audit needs, computed beforehand from the claim alone: no data, no peeking."""

from __future__ import annotations

from typing import Final

import numpy as np

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.testing.statistics.families import Family
from dpgen.testing.statistics.rates import AttackRates

MOST_OBSERVATIONS: Final = 2**28


TWIN_SHARE: Final = 0.5
"""The noise of the broken twin that every audit must catch, as a share of the claimed one."""


def observations_needed(family: Family, noise: float, *, noise_share: float = 1.25, level: float) -> int:
    """The least power of two of observations a side that is enough for both, where rates come out as their laws say:

    the audit of a right mechanism rules out `noise_share` times the claimed `noise`; that of a twin with half the
    noise rules out the claim. Both are asked at the third power of `level`, so that at `level` they do nearly always.

    Raises: `InvalidValue` where even `MOST_OBSERVATIONS` do not suffice.
    """
    validate.open_unit(level=level)
    validate.positive(noise=noise, noise_share=noise_share)
    observations = 64
    while observations <= MOST_OBSERVATIONS:
        right, twin = (_expected(family, share * noise, observations) for share in (1.0, TWIN_SHARE))
        tight = any(family.rules_out(noise * noise_share, rates, level=level**3) for rates in right)
        if tight and any(family.rules_out(noise, rates, level=level**3) for rates in twin):
            return observations
        observations *= 2
    raise InvalidValue(
        f"an audit may take {MOST_OBSERVATIONS} observations a side; found that {family.name} with noise {noise:.4g} "
        f"needs more to see a factor of {noise_share:g}. Allow a larger factor."
    )


def _expected(family: Family, noise: float, observations: int) -> list[AttackRates]:
    """What attacks at various false-positive rates would count."""
    rates = np.concatenate([np.logspace(-5, -1, 9), np.linspace(0.2, 0.8, 7)])
    return [
        AttackRates(
            threshold=float("nan"),
            hits=round(observations * family.power(noise, float(rate))),
            present=observations,
            alarms=round(observations * float(rate)),
            absent=observations,
        )
        for rate in rates
    ]
