"""How many standard deviations the released laws of two records can lie apart: the one number that everything costs."""

from __future__ import annotations

import math

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.mechanisms.lipschitz.layers import BALL_MARGIN


def code_separation(clip_radius: float, deviation: float) -> float:
    """Theta = 2 R / sigma for codes clipped to a ball of radius R, rounding of the clip included (theorem A).

    A clip needs no certificate: whatever the encoder computes, two clipped codes are at most 2 R apart.
    """
    validate.positive(clip_radius=clip_radius, deviation=deviation)
    return math.nextafter(2 * clip_radius * (1 + BALL_MARGIN) / deviation, math.inf)


def output_separation(
    clip_radius: float, *, deviation: float, output_deviation: float, lipschitz: float, execution_error: float = 0.0
) -> float:
    """Theta of y = G(code + sigma xi) + tau xi', when the noisy code is withheld (theorem C).

    Delta / sqrt(sigma^2 + tau^2 / L^2) in real arithmetic. The proof walks a share r of the way by the code's noise
    and the rest by the output's; `execution_error` e lengthens the second walk to L r Delta + 2 e, for the r that is
    best without it, and any r gives a bound.

    Args: `lipschitz` a certified bound of the decoder G; `deviation` >= 0, `output_deviation` > 0.
    """
    validate.positive(clip_radius=clip_radius, output_deviation=output_deviation)
    validate.not_negative(deviation=deviation, lipschitz=lipschitz, execution_error=execution_error)
    distance = 2 * clip_radius * (1 + BALL_MARGIN)
    steep = lipschitz * deviation / output_deviation  # sigma over tau / L
    if not math.isfinite(steep):
        raise InvalidValue(f"lipschitz * deviation / output_deviation must be finite; found {steep!r}.")
    share = 1 / (1 + steep * steep)
    by_code = (1 - share) * distance / deviation if deviation > 0 else 0.0
    by_output = (lipschitz * share * distance + 2 * execution_error) / output_deviation
    return math.hypot(by_code, by_output) * (1 + 1e-12)  # and the rounding of these lines
