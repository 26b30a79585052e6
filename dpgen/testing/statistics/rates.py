"""What an attack achieved, with confidence: an event chosen on one half of the scores and counted on the other half."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri, rel_entr

from dpgen import validate
from dpgen.errors import InvalidValue

Scores = NDArray[np.float64]

Merit = Callable[["AttackRates"], float]
"""What a threshold is chosen by: more is better."""

_CANDIDATES: Final = 64
"""Thresholds tried on the first half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRates:
    """An attack that says "present" above `threshold`, counted on scores that did not choose it.

    `hits` of `present` were right, `alarms` of `absent` wrong.
    """

    threshold: float
    hits: int
    present: int
    alarms: int
    absent: int

    def surprise(self, *, true_positive_rate: float, false_positive_rate: float) -> float:
        """How little these counts would be expected, as exponents: hits above and alarms below the rates given.

        The sum over both sides of n kl(found, rate), where found lies on the surprising side. Each term exceeds x with
        probability at most e^-x (Chernoff 1952; Hoeffding 1963, theorem 1), and the two are independent.
        """
        hits, alarms = self.hits / self.present, self.alarms / self.absent
        found = self.present * _divergence(hits, true_positive_rate) if hits > true_positive_rate else 0.0
        wrong = self.absent * _divergence(alarms, false_positive_rate) if alarms < false_positive_rate else 0.0
        return found + wrong

    def true_positive_rate(self, level: float) -> float:
        """A lower end: with probability at least 1 - `level` the true rate is no less."""
        return clopper_pearson_lower(self.hits, self.present, level)

    def false_positive_rate(self, level: float) -> float:
        """An upper end: with probability at least 1 - `level` the true rate is no more."""
        return 1 - clopper_pearson_lower(self.absent - self.alarms, self.absent, level)


def surprise_at(level: float) -> float:
    """What `AttackRates.surprise` at the true rates exceeds with probability at most `level`.

    The sum of two independent values that each exceed x with probability at most e^-x exceeds x with at most
    e^-x (1 + x), as a sum of two exponential ones does.
    """
    validate.open_unit(level=level)
    return float(stats.gamma.isf(level, 2))


def _divergence(found: float, rate: float) -> float:
    """kl(found, rate) between coins, in nats."""
    return float(rel_entr(found, rate) + rel_entr(1 - found, 1 - rate))


def clopper_pearson_lower(successes: int, trials: int, level: float) -> float:
    """The exact one-sided lower end for a success probability, wrong with probability at most `level`.

    Source: Clopper, Pearson 1934: the probability at which `successes` or more has probability `level`.
    """
    validate.open_unit(level=level)
    validate.count(1, trials=trials)
    return float(stats.beta.ppf(level, successes, trials - successes + 1)) if successes > 0 else 0.0


def attack_rates(present: Scores, absent: Scores, *, merit: Merit, held_out: int = 2) -> AttackRates:
    """Choose the threshold of most `merit` on one in `held_out` of the scores, count what it achieves on all others.

    What is counted owes nothing to the choice, so any merit is valid. Scores must be independent draws.
    Raises: `InvalidValue` where a part has fewer than two scores, or one is NaN.
    """
    validate.count(2, held_out=held_out)
    if min(present.size, absent.size) < 2 * held_out or np.isnan(present).any() or np.isnan(absent).any():
        raise InvalidValue(
            f"an attack needs {2 * held_out} scores on either side, none of them NaN; found fewer. Run it longer."
        )
    threshold = _best_threshold(present[0::held_out], absent[0::held_out], merit)
    return _counted(threshold, _others(present, held_out), _others(absent, held_out))


def _others(scores: Scores, held_out: int) -> Scores:
    return np.asarray(scores[np.arange(scores.size) % held_out != 0])


def _counted(threshold: float, present: Scores, absent: Scores) -> AttackRates:
    return AttackRates(
        threshold=threshold,
        hits=int((present > threshold).sum()),
        present=present.size,
        alarms=int((absent > threshold).sum()),
        absent=absent.size,
    )


def _best_threshold(present: Scores, absent: Scores, merit: Merit) -> float:
    pooled = np.concatenate([present, absent])
    candidates = np.unique(np.quantile(pooled, np.linspace(0, 1, _CANDIDATES + 2)[1:-1]))
    extremes = np.unique(np.quantile(absent, 1 - np.logspace(-1, -5, 17)))  # rare samples show in the far tail
    thresholds: list[float] = np.concatenate([candidates, extremes]).tolist()
    return max(thresholds, key=lambda threshold: merit(_counted(threshold, present, absent)))


def shift_proved(rates: AttackRates, level: float, *, joining: float = 1.0) -> float:
    """The shift in deviations that would give these rates, each at the worse end of its interval: a merit.

    Phi^-1(P(hit | joined)) - Phi^-1(P(alarm)), where a present record joins with probability `joining` only.
    """
    hit, alarm = rates.true_positive_rate(level / 2), rates.false_positive_rate(level / 2)
    joined = min(1.0, (hit - (1 - joining) * alarm) / joining)
    return float(ndtri(joined) - ndtri(alarm)) if joined > 0 and alarm < 1 else -math.inf
