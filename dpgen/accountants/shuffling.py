"""Amplification by shuffling, in closed form: for local randomisers of a pure epsilon only."""

from __future__ import annotations

import math

from dpgen import validate
from dpgen.errors import InvalidValue, UnsupportedEvent
from dpgen.events import DpEvent, EpsilonDelta


def shuffled_epsilon(local: DpEvent, *, records: int, delta: float) -> float:
    """Epsilon at `delta`, under replace-one, of `records` outputs of the randomiser `local` in random order.

    log(1 + (e^e0 - 1) / (e^e0 + 1) (8 sqrt(e^e0 ln(4 / delta) / n) + 8 e^e0 / n)) for e0 <= ln(n / (16 ln(2 / delta)));
    e0 itself, which holds without shuffling, where that is less or the condition fails.

    Args: `local` what one output does, an `EpsilonDelta` whose delta is 0.
    Raises: `UnsupportedEvent` for any other event: Gaussian noise is not pure, and the formula does not hold for it.
    Source: Feldman, McMillan, Talwar 2021 (arXiv 2012.12803), theorem 3.1.
    """
    validate.open_unit(delta=delta)
    validate.count(1, records=records)
    if not (isinstance(local, EpsilonDelta) and local.delta == 0):
        raise UnsupportedEvent(
            local,
            accountant="shuffling",
            reason="its formula is for randomisers that are epsilon-DP with a pure epsilon",
        )
    pure = local.epsilon
    if not math.isfinite(pure):
        raise InvalidValue(f"epsilon must be finite; found {pure!r}.")
    if pure > math.log(records / (16 * math.log(2 / delta))):
        return pure
    growth = math.exp(pure)
    spread = 8 * math.sqrt(growth * math.log(4 / delta) / records) + 8 * growth / records
    return min(pure, math.log1p(math.expm1(pure) / (growth + 1) * spread))
