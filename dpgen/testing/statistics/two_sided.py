"""Black-box lower bounds on epsilon from scores of many independent runs, with the record and without it."""

from __future__ import annotations

import math

from dpgen import validate
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.families import Family
from dpgen.testing.statistics.rates import AttackRates, Scores, attack_rates, shift_proved


def two_sided_bound(
    present: Scores, absent: Scores, *, delta: float, level: float, claimed: float, attack: str = "two-sided"
) -> EpsilonBound:
    """A lower bound on epsilon that assumes nothing but that the scores are independent runs on two neighbours.

    A threshold is chosen on one half of the scores; on the other half Clopper-Pearson bounds its two error rates, at
    `level` / 2 each; both directions of the definition follow from the same two ends.
    Args: `present`, `absent` one score a run, larger for "present"; at least four on a side.
    Raises: `InvalidValue`.
    """
    validate.open_unit(delta=delta, level=level)
    rates = attack_rates(present, absent, merit=lambda found: _epsilon(found, delta, level))
    return EpsilonBound(
        attack=attack,
        family="",
        lower=_epsilon(rates, delta, level),
        claimed=claimed,
        delta=delta,
        level=level,
        samples=int(present.size + absent.size),
    )


def _epsilon(rates: AttackRates, delta: float, level: float) -> float:
    """P(S) <= e^epsilon Q(S) + delta for S "above the threshold", and for its complement with P and Q exchanged.

    Source: Kairouz, Oh, Viswanath 2015 (arXiv 1311.0776), theorem 2.1, as used by Nasr et al. 2021 (arXiv 2101.04535).
    """
    hit, alarm = rates.true_positive_rate(level / 2), rates.false_positive_rate(level / 2)
    ratios = ((hit - delta) / alarm, (1 - alarm - delta) / (1 - hit))  # neither end can be 0 at a level above 0
    return max(0.0, *(math.log(ratio) for ratio in ratios if ratio > 0))


def bound_within(
    family: Family,
    present: Scores,
    absent: Scores,
    *,
    delta: float,
    level: float,
    claimed: float,
    attack: str,
) -> EpsilonBound:
    """A lower bound on epsilon that assumes `family`; far tighter where that is right, worth nothing where it is not.

    Scores are independent observations of the pair of laws that `family` speaks of. One score in eight chooses the
    threshold. Noise at which no attack is likely to be that good is ruled out, and what is left is priced from below.
    Source: Nasr et al. 2023 (arXiv 2302.07956), section 4; here with the exact trade-off function of the family.
    Raises: `InvalidValue`; what the accountant raises.
    """
    validate.open_unit(delta=delta, level=level)
    rates = attack_rates(
        present, absent, merit=lambda found: shift_proved(found, level, joining=family.joining), held_out=8
    )
    noise = family.noise_left(rates, level=level)
    return EpsilonBound(
        attack=attack,
        family=family.name,
        lower=family.epsilon(noise, delta=delta).lower,
        claimed=claimed,
        delta=delta,
        level=level,
        samples=int(present.size + absent.size),
        noise_at_most=noise,
    )
