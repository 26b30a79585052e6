"""What a plan may be calibrated to: an epsilon, or the success that any attack is proved not to exceed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.gdp import gaussian_delta
from dpgen.budget import Budget, NeighboringRelation
from dpgen.errors import InvalidValue
from dpgen.events import DpEvent

_GAIN = 1e-5  # relative: a proof of a false-negative rate that could be better by less is good enough
_MOST_LINES = 20
_LARGE = 1e4  # epsilon: there Chernoff is off by less than one per cent
_HALVINGS = 30
_NEXT_TO_AN_END = 1e-2  # in epsilon
_ROUNDING = 1e-15  # of either line through numbers in [-1, 1], in float64


class Target(ABC):
    """A risk that an event must provably keep within a level.

    `read` is the figure that the accountant proves, `met` decides, and `mu` puts figures on one scale: the distance,
    in standard deviations, of the plain Gaussian mechanism with the same figure. Noise and square roots of counts are
    nearly proportional to it, so that searches on its logarithm take few prices. It decides nothing.
    """

    __slots__ = ()
    relation: NeighboringRelation

    @abstractmethod
    def read(self, accountant: Accountant, event: DpEvent) -> float:
        """The proved figure of `event`; of an approximation, its estimate. Raises: `UnsupportedEvent`."""

    @abstractmethod
    def met(self, figure: float) -> bool:
        """Does the figure keep the target? False for NaN."""

    @abstractmethod
    def mu(self, figure: float) -> float:
        """The figure on the Gaussian scale: increasing in risk, 0 for none, infinite for no protection."""

    @property
    @abstractmethod
    def level(self) -> float:
        """The figure that is just met."""

    @abstractmethod
    def describe(self, figure: float) -> str:
        """The figure in words, for messages."""


@final
@dataclass(frozen=True, slots=True)
class EpsilonAtDelta(Target):
    """The upper bound on epsilon at the budget's delta is at most the budget's epsilon."""

    budget: Budget
    relation: NeighboringRelation = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "relation", self.budget.relation)

    @property
    def level(self) -> float:
        """See `Target.level`."""
        return self.budget.epsilon

    def read(self, accountant: Accountant, event: DpEvent) -> float:
        """See `Target.read`: an epsilon."""
        return _proved(accountant.epsilon(event, delta=self.budget.delta, relation=self.relation))

    def met(self, figure: float) -> bool:
        """See `Target.met`."""
        return figure <= self.budget.epsilon

    def mu(self, figure: float) -> float:
        """See `Target.mu`.

        epsilon = mu^2 / 2 + mu sqrt(2 log(1/delta)), the Chernoff bound of the Gaussian's loss, solved for mu, is too
        low. It is nearly right where epsilon is large; a tiny one ends at a mu > 0, whose advantage is delta.
        """
        tail = -math.log(self.budget.delta)
        if not 0 < figure < math.inf:
            return figure
        low = math.sqrt(2) * figure / (math.sqrt(tail + figure) + math.sqrt(tail))
        return low if figure > _LARGE else _mu_above(low, figure, self.budget.delta)

    def describe(self, figure: float) -> str:
        """See `Target.describe`."""
        return f"epsilon={figure:.4g} at delta={self.budget.delta:.4g}"


@final
@dataclass(frozen=True, slots=True)
class Advantage(Target):
    """No attack's true-positive rate exceeds its false-positive rate by more than `value`, in (0, 1).

    The largest difference over all attacks is the total variation of the two output laws: delta at epsilon 0
    (Dong, Roth, Su 2022, arXiv 1905.02383, proposition 2.12 at epsilon 0).
    """

    value: float
    relation: NeighboringRelation

    def __post_init__(self) -> None:
        validate.open_unit(value=self.value)
        object.__setattr__(self, "relation", NeighboringRelation(self.relation))

    @property
    def level(self) -> float:
        """See `Target.level`."""
        return self.value

    def read(self, accountant: Accountant, event: DpEvent) -> float:
        """See `Target.read`: an advantage."""
        return _proved(accountant.delta(event, epsilon=0.0, relation=self.relation))

    def met(self, figure: float) -> bool:
        """See `Target.met`."""
        return figure <= self.value

    def mu(self, figure: float) -> float:
        """See `Target.mu`: advantage = 2 Phi(mu / 2) - 1."""
        return -2 * _quantile(max(0.0, 1 - figure) / 2)

    def describe(self, figure: float) -> str:
        """See `Target.describe`."""
        return f"an advantage of {figure:.4g}"


@final
@dataclass(frozen=True, slots=True)
class FalseNegativeRate(Target):
    """Every attack with at most this false-positive rate misses at least `at_least` of the records.

    Raises: `InvalidValue` unless both lie in (0, 1) and at_least < 1 - at_false_positive_rate (a blind guess misses as
        many as that; more cannot be asked for).
    """

    at_least: float
    at_false_positive_rate: float
    relation: NeighboringRelation

    def __post_init__(self) -> None:
        validate.open_unit(at_least=self.at_least, at_false_positive_rate=self.at_false_positive_rate)
        if self.at_least >= 1 - self.at_false_positive_rate:
            raise InvalidValue(
                f"at_least must be below {1 - self.at_false_positive_rate:g}, what blind guessing misses at a "
                f"at_false_positive_rate of {self.at_false_positive_rate:g}; found {self.at_least:g}."
            )
        object.__setattr__(self, "relation", NeighboringRelation(self.relation))

    @property
    def level(self) -> float:
        """See `Target.level`."""
        return self.at_least

    def read(self, accountant: Accountant, event: DpEvent) -> float:
        """See `Target.read`: a false-negative rate that is proved to be reached at least.

        f(alpha) >= 1 - delta(epsilon) - e^epsilon alpha and f(alpha) >= e^-epsilon (1 - delta(epsilon) - alpha) for
        every epsilon >= 0 (Dong, Roth, Su 2022, proposition 2.12). One epsilon proves; the best is looked for. Both
        directions of the relation are in delta, so the curve is its own inverse: where it passes through a point with
        beta > alpha its slope is below -1 and the first line touches it, else the second.
        """
        alpha = self.at_false_positive_rate

        def steep(epsilon: float) -> float:
            return 1 - self._delta(accountant, event, epsilon) - math.exp(epsilon) * alpha - _ROUNDING

        def shallow(epsilon: float) -> float:
            return math.exp(-epsilon) * (1 - self._delta(accountant, event, epsilon) - alpha) - _ROUNDING

        line, numerator, denominator = (steep, 1 - self.at_least, alpha)
        if self.at_least <= alpha:
            line, numerator, denominator = (shallow, 1 - alpha, self.at_least)
        end = math.log(numerator / denominator)  # beyond, no delta proves the target
        return _highest(
            line, start=self._epsilon_of_gaussian(), end=end, gain=_GAIN * min(self.at_least, 1 - self.at_least)
        )

    def met(self, figure: float) -> bool:
        """See `Target.met`."""
        return figure >= self.at_least

    def mu(self, figure: float) -> float:
        """See `Target.mu`: beta = Phi(Phi^-1(1 - alpha) - mu)."""
        return max(0.0, -_quantile(self.at_false_positive_rate) - _quantile(min(max(0.0, figure), 1.0)))

    def describe(self, figure: float) -> str:
        """See `Target.describe`."""
        missed = f"a false-negative rate of {max(0.0, figure):.4g}"
        return f"{missed} at a false-positive rate of {self.at_false_positive_rate:g}"

    def _epsilon_of_gaussian(self) -> float:
        """The best epsilon where the event is a Gaussian that just meets the target: the logarithm of the slope there.

        With z = Phi^-1(1 - alpha), f(alpha) = Phi(z - mu) has the slope -phi(z - mu) / phi(z) = -e^(mu z - mu^2 / 2).
        """
        z, mu = -_quantile(self.at_false_positive_rate), self.mu(self.at_least)
        return abs(mu * z - mu * mu / 2)

    def _delta(self, accountant: Accountant, event: DpEvent, epsilon: float) -> float:
        return _proved(accountant.delta(event, epsilon=epsilon, relation=self.relation))


def _proved(bound: Bound) -> float:
    return bound.estimate if bound.kind == "approximation" else bound.upper


def _mu_above(low: float, epsilon: float, delta: float) -> float:
    """The mu, at least `low`, of the Gaussian with this epsilon at delta."""
    high = low
    while gaussian_delta(high, epsilon).estimate < delta:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(middle, epsilon).estimate < delta else (low, middle)
    return high


def _quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def _highest(line: Callable[[float], float], *, start: float, end: float, gain: float) -> float:
    """The largest value found of a function with one maximum on [0, end]; each value is a proof in itself.

    Successive parabolic interpolation from `start`, until a parabola promises less than `gain`.
    """
    found: dict[float, float] = {}
    step, guess = 0.25 * min(1.0, end), start
    for _ in range(_MOST_LINES):
        guess = min(max(guess, 0.0), end)
        found[guess] = line(guess)
        best = max(found, key=found.__getitem__)
        below = max((at for at in found if at < best), default=None)
        above = min((at for at in found if at > best), default=None)
        if below is None and best > 0:
            guess, step = best - step, 2 * step
        elif above is None and best < end:
            guess, step = best + step, 2 * step
        elif below is None or above is None:  # an end: is there something higher next to it?
            away = (above if above is not None else below or 0.0) - best
            if abs(away) < _NEXT_TO_AN_END:
                break
            guess = best + away / 4
        else:
            left, right = (found[best] - found[below]) / (best - below), (found[best] - found[above]) / (above - best)
            bend = (left + right) / (above - below)
            tilt = (left * (above - best) - right * (best - below)) / (above - below)
            if bend <= 0 or tilt * tilt <= 4 * bend * gain:
                break
            guess = best + tilt / (2 * bend)
    return max(found.values())
