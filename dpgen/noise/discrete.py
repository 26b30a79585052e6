"""The exact discrete Gaussian sampler of Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), many draws at a time.

Probabilities stay rational: coins compare uniform integers, never floats. Only integers of fixed size are vectorised,
where they cannot overflow; the one coin with a large denominator compares 64-bit digits of its probability.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dpgen.noise.streams import Stream

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

SMALLEST_SCALE, LARGEST_SCALE = 2.0**-20, 2.0**40

_WORD = 1 << 64  # a 64-bit word is a digit in this base


def sample_discrete_gaussian(count: int, scale: float, stream: Stream) -> Integers:
    """`count` independent draws of P(x) proportional to exp(-x^2 / (2 scale^2)) on the integers (algorithm 3).

    `scale` (in [2^-20, 2^40]) is taken as the exact rational that the float is.
    """
    variance = Fraction(scale) ** 2
    t = int(scale) + 1
    draws = np.empty(count, dtype=np.int64)
    pending = np.arange(count)
    while pending.size:
        proposal = _discrete_laplace(pending.size, t, stream)
        # Accept with probability exp(-(|y| - variance / t)^2 / (2 variance)).
        sizes, which = np.unique(np.abs(proposal), return_inverse=True)
        exponents = [(int(size) - variance / t) ** 2 / (2 * variance) for size in sizes]
        accepted = _coins_exp_large(exponents, which, stream)
        draws[pending[accepted]] = proposal[accepted]
        pending = pending[~accepted]
    return draws


def sample_geometric(count: int, scale: int, stream: Stream) -> Integers:
    """`count` independent draws of P(k) proportional to exp(-k / scale) on 0, 1, 2, ...: exactly, for whole `scale`.

    k = low + scale * high with independent parts: low is uniform below `scale`, kept with probability
    exp(-low / scale), and high goes on with probability exp(-1) (the magnitude in algorithm 2 before its sign).
    """
    draws = np.empty(count, dtype=np.int64)
    pending = np.arange(count)
    while pending.size:
        low = uniform_below(scale, pending.size, stream)
        kept = _coins_exp(_Ratio(low, scale), stream)
        high = np.zeros(pending.size, dtype=np.int64)
        alive = np.flatnonzero(kept)
        while alive.size:
            alive = alive[_coins_exp(_One(alive.size), stream)]
            high[alive] += 1
        draws[pending[kept]] = (low + scale * high)[kept]
        pending = pending[~kept]
    return draws


def _discrete_laplace(count: int, t: int, stream: Stream) -> Integers:
    """`count` draws of P(y) proportional to exp(-|y| / t) (algorithm 2 with s = 1)."""
    draws = np.empty(count, dtype=np.int64)
    pending = np.arange(count)
    while pending.size:
        low = uniform_below(t, pending.size, stream)
        kept = _coins_exp(_Ratio(low, t), stream)  # exp(-low / t)
        high = np.zeros(pending.size, dtype=np.int64)
        alive = np.flatnonzero(kept)
        while alive.size:  # geometric: one more turn with probability exp(-1)
            alive = alive[_coins_exp(_One(alive.size), stream)]
            high[alive] += 1
        size = low + t * high  # < 2^63: t <= 2^40 + 1, and 2^22 turns have probability exp(-2^22)
        negative = uniform_below(2, pending.size, stream) == 1
        kept &= ~(negative & (size == 0))  # 0 would come up twice as often as it should
        draws[pending[kept]] = np.where(negative, -size, size)[kept]
        pending = pending[~kept]
    return draws


class _Coins(ABC):
    """Many coins, each with its own probability gamma in [0, 1], that can be tossed again and again."""

    count: int

    @abstractmethod
    def toss(self, which: Integers, stream: Stream) -> Flags:
        """A fresh toss of the coins `which`."""


class _One(_Coins):
    """gamma = 1."""

    def __init__(self, count: int) -> None:
        self.count = count

    def toss(self, which: Integers, stream: Stream) -> Flags:
        return np.ones(which.size, dtype=np.bool_)


class _Ratio(_Coins):
    """gamma = numerator / denominator, small integers."""

    def __init__(self, numerators: Integers, denominator: int) -> None:
        self.count, self._numerators, self._denominator = numerators.size, numerators, denominator

    def toss(self, which: Integers, stream: Stream) -> Flags:
        return uniform_below(self._denominator, which.size, stream) < self._numerators[which]


class _Digits(_Coins):
    """gamma any rational in [0, 1): a uniform real, drawn digit by digit as far as needed, is compared with it."""

    def __init__(self, gammas: Sequence[Fraction], kinds: Integers) -> None:
        """The coin `i` has probability `gammas[kinds[i]]`."""
        self.count, self._gammas, self._kinds = kinds.size, gammas, kinds
        self._first = np.array([_digit(gamma) for gamma in gammas], dtype=np.uint64)

    def toss(self, which: Integers, stream: Stream) -> Flags:
        kinds = self._kinds[which]
        drawn, first = stream.words(which.size), self._first[kinds]
        heads: Flags = drawn < first
        for i in np.flatnonzero(drawn == first):  # about once in 2^64
            heads[i] = _next_digits_below(self._gammas[kinds[i]], stream)
        return heads


def _digit(gamma: Fraction) -> int:
    return gamma.numerator * _WORD // gamma.denominator


def _next_digits_below(gamma: Fraction, stream: Stream) -> bool:
    """Is a uniform real, whose first digit is that of `gamma`, below `gamma`?"""
    while gamma := gamma * _WORD - _digit(gamma):
        drawn = int(stream.words(1)[0])
        if drawn != _digit(gamma):
            return drawn < _digit(gamma)
    return False


def _coins_exp(coins: _Coins, stream: Stream) -> Flags:
    """Heads with probability exp(-gamma) for each coin of probability gamma <= 1 (algorithm 1, first case)."""
    heads = np.empty(coins.count, dtype=np.bool_)
    alive = np.arange(coins.count)
    k = 1
    while alive.size:
        # Bernoulli(gamma / k) as the conjunction of two independent exact coins: no product can overflow.
        onward = coins.toss(alive, stream) & (uniform_below(k, alive.size, stream) == 0)
        heads[alive[~onward]] = k % 2 == 1
        alive = alive[onward]
        k += 1
    return heads


def _coins_exp_large(exponents: Sequence[Fraction], kinds: Integers, stream: Stream) -> Flags:
    """Heads with probability exp(-exponents[kinds[i]]) for any exponents >= 0 (algorithm 1, second case)."""
    whole = [exponent.numerator // exponent.denominator for exponent in exponents]
    # exp(-gamma) = exp(-1)^floor(gamma) * exp(-(gamma - floor(gamma))). The cap is never reached: exp(-2^62).
    left = np.array([min(number, 1 << 62) for number in whole], dtype=np.int64)[kinds]
    heads = np.ones(kinds.size, dtype=np.bool_)
    alive = np.flatnonzero(left)
    while alive.size:
        heads[alive] = _coins_exp(_One(alive.size), stream)
        left[alive] -= 1
        alive = alive[heads[alive] & (left[alive] > 0)]
    survivors = np.flatnonzero(heads)
    fractions = [exponent - number for exponent, number in zip(exponents, whole, strict=True)]
    heads[survivors] = _coins_exp(_Digits(fractions, kinds[survivors]), stream)
    return heads


def uniform_below(bound: int, count: int, stream: Stream) -> Integers:
    """`count` uniform integers in 0 .. bound - 1, exactly: words in the incomplete last cycle are drawn again."""
    words = stream.words(count)
    if _WORD % bound:
        limit = np.uint64(_WORD - _WORD % bound)
        while (rejected := np.flatnonzero(words >= limit)).size:
            words[rejected] = stream.words(rejected.size)
    return (words % np.uint64(bound)).astype(np.int64)
