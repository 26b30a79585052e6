"""Hypothesised families: what an attack at given rates rules out, and the epsilon that then follows.

A family is a set of mechanisms of one kind with one unknown, the noise. Less noise makes the two laws easier to tell
apart, so an attack that is too good for some noise is too good for all larger ones: it proves, *within the family*,
that the noise is smaller, and the price of the largest noise left is a lower bound on epsilon. Outside the family it
proves nothing, which is why every bound says which family it assumed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.pld import PldAccountant
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.events import DiscreteGaussian, DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.testing.statistics.discrete import discrete_gaussian_masses
from dpgen.testing.statistics.rates import AttackRates, surprise_at

LEAST_NOISE: Final = 0.02
"""No attack proves less noise than this: beyond, every price is in the hundreds and nothing is learnt."""

MOST_NOISE: Final = 1e4
_HALVINGS: Final = 40
_LISTED: Final = 200.0
"""Deviation of a sum of counts beyond which its steps no longer show."""


class Family(ABC):
    """Mechanisms that differ in their noise alone."""

    relation: NeighboringRelation

    @property
    @abstractmethod
    def name(self) -> str:
        """What is hypothesised, for people."""

    @abstractmethod
    def event(self, noise: float) -> DpEvent:
        """The whole mechanism with this noise, as an accountant prices it."""

    @abstractmethod
    def power(self, noise: float, false_positive_rate: float) -> float:
        """The most true positives of any attack on one observation at this false-positive rate (Neyman, Pearson)."""

    @property
    def joining(self) -> float:
        """The probability with which a present record shows in an observation at all."""
        return 1.0

    def noise_left(self, rates: AttackRates, *, level: float) -> float:
        """The largest noise that could have given these counts, rounded up; infinite when any noise could.

        A noise is ruled out where no false-positive rate at all, with the most true positives it allows, makes the
        counts likely enough: wrongly with probability at most `level`.
        """
        if not self.rules_out(MOST_NOISE, rates, level=level):
            return math.inf
        if self.rules_out(LEAST_NOISE, rates, level=level):
            return LEAST_NOISE  # outside the family altogether: the least noise is all that may be said
        low, high = math.log(LEAST_NOISE), math.log(MOST_NOISE)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            ruled_out = self.rules_out(math.exp(middle), rates, level=level)
            low, high = (low, middle) if ruled_out else (middle, high)
        return math.exp(high)

    def rules_out(self, noise: float, rates: AttackRates, *, level: float) -> bool:
        """Are the counts of `rates` too good for this noise? Wrongly with probability at most `level`."""
        return self._least_surprise(noise, rates) > surprise_at(level)

    def _least_surprise(self, noise: float, rates: AttackRates) -> float:
        """Over all false-positive rates. The power is concave in them, so the surprise is convex: one minimum."""

        def surprise(logarithm: float) -> float:
            rate = math.exp(logarithm)
            return rates.surprise(true_positive_rate=self.power(noise, rate), false_positive_rate=rate)

        lowest = math.log(max(rates.alarms, 1e-9) / rates.absent)
        found = minimize_scalar(surprise, bounds=(lowest, 0.0), method="bounded", options={"xatol": 1e-9})
        return float(found.fun)

    def epsilon(self, noise: float, *, delta: float, accountant: Accountant | None = None) -> Bound:
        """The epsilon of the whole mechanism with this noise; 0 for infinite noise."""
        if math.isinf(noise):
            return Bound(0.0, 0.0, 0.0, "bound")
        return (accountant or PldAccountant()).epsilon(self.event(noise), delta=delta, relation=self.relation)


@final
@dataclass(frozen=True, kw_only=True)
class SampledGaussianFamily(Family):
    """`steps` releases of a sum with Gaussian noise over Poisson samples; one observation is one step.

    Sampling probability and steps are taken as claimed, the noise multiplier is the unknown. With probability 1 it is
    the plain Gaussian family (GDP). The pair of laws of one step is that of `PoissonSampled`.
    """

    sampling_probability: float
    steps: int
    relation: NeighboringRelation

    def __post_init__(self) -> None:
        validate.positive(sampling_probability=self.sampling_probability)
        validate.probability(sampling_probability=self.sampling_probability)
        validate.count(1, steps=self.steps)

    @property
    def name(self) -> str:
        """What is hypothesised, for people."""
        composed = f"{self.steps} steps composed"
        if self.sampling_probability == 1:
            return f"Gaussian, {composed}"
        return f"Gaussian on Poisson samples of probability {self.sampling_probability:.6g}, {composed}"

    @property
    def joining(self) -> float:
        """The sampling probability."""
        return self.sampling_probability

    def event(self, noise: float) -> DpEvent:
        """The composition of all steps."""
        step: DpEvent = Gaussian(noise)
        if self.sampling_probability < 1:
            step = PoissonSampled(self.sampling_probability, step)
        return SelfComposed(step, self.steps)

    def power(self, noise: float, false_positive_rate: float) -> float:
        """The likelihood ratio of the pair rises, so the best attack is a threshold on the step's sum."""
        if false_positive_rate <= 0 or false_positive_rate >= 1:
            return float(false_positive_rate >= 1)
        q, shift = self.sampling_probability, 1 / noise
        if self.relation is not REPLACE_ONE:
            # (1 - q) N(0, s^2) + q N(1, s^2) against N(0, s^2), at the threshold where N(0, s^2) leaves alpha
            joined = float(ndtr(ndtri(false_positive_rate) + shift))
            return (1 - q) * false_positive_rate + q * joined
        cut = self._replaced_cut(noise, false_positive_rate)
        return float((1 - q) * ndtr(-cut) + q * ndtr(shift - cut))

    def _replaced_cut(self, noise: float, false_positive_rate: float) -> float:
        """The threshold (in deviations) where (1 - q) N(0, s^2) + q N(-1, s^2) leaves alpha, by bisection, too low."""
        q, low = self.sampling_probability, float(-ndtri(false_positive_rate)) - 1 / noise
        high = low + 1 / noise
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            left = (1 - q) * ndtr(-middle) + q * ndtr(-middle - 1 / noise)
            low, high = (middle, high) if left >= false_positive_rate else (low, middle)
        return low


@final
@dataclass(frozen=True, kw_only=True)
class DiscreteGaussianFamily(Family):
    """Counts with discrete Gaussian noise, one observation a release; the scale is the unknown.

    One record moves `touched` counts by one each. The observation is the sum of those counts, which is all that their
    likelihood ratio exp((2 sum - touched) / (2 scale^2)) depends on.
    """

    touched: int
    count: int
    relation: NeighboringRelation

    def __post_init__(self) -> None:
        validate.count(1, touched=self.touched, count=self.count)

    @property
    def name(self) -> str:
        """What is hypothesised, for people."""
        return f"discrete Gaussian counts, {self.touched} touched, {self.count} releases composed"

    def event(self, noise: float) -> DpEvent:
        """All releases."""
        return SelfComposed(DiscreteGaussian(noise, self.touched), self.count)

    def power(self, noise: float, false_positive_rate: float) -> float:
        """The best attack is a threshold on the sum, with a coin on the threshold itself."""
        alarms, hits = _discrete_powers(self.touched, noise)
        return float(np.interp(false_positive_rate, alarms, hits))


@lru_cache(maxsize=8)
def _discrete_powers(touched: int, noise: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(false, true positives) of all thresholds on the sum, rising: its law against the same one moved by `touched`."""
    masses = _masses_of_the_sum(touched, noise)
    above = np.append(np.cumsum(masses[::-1])[::-1], 0.0)  # [k]: P(sum >= first + k); small ends keep their digits
    above /= above[0]
    moved = np.concatenate([np.ones(min(touched, above.size)), above[: max(0, above.size - touched)]])
    return above[::-1], moved[::-1]


def _masses_of_the_sum(touched: int, noise: float) -> NDArray[np.float64]:
    """Of `touched` independent draws; by the central limit (rounded) where the exact law is too long to list."""
    deviation = noise * math.sqrt(touched)
    if deviation > _LISTED:
        edges = np.arange(-math.ceil(9 * deviation), math.ceil(9 * deviation) + 2) - 0.5
        return np.asarray(np.diff(ndtr(edges / deviation)))
    support, single = discrete_gaussian_masses(noise)
    single = single[np.abs(support) <= math.ceil(12 * noise) + 1]
    size = (single.size - 1) * touched + 1
    return np.asarray(np.clip(np.fft.irfft(np.fft.rfft(single, size) ** touched, size), 0.0, 1.0))
