"""Choosing the tilt, the window and the grid step of a composition. Nothing proved depends on these choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from dpgen.accountants.pld.compose import Window
from dpgen.accountants.pld.pair import Pair

Floats = NDArray[np.float64]

CountedPairs = Sequence[tuple[Pair, int]]

_TAIL_SHARE = 1e-5  # of delta may be lost by cutting the losses of single releases
_OUTSIDE = 1e-7  # of tilt * tolerance, the change of delta that is worth it, is the tilted mass left outside the window
_AMPLIFICATION = 6.0  # logarithm of the largest factor on the Chernoff bound
_AMPLIFIABLE = 1e13  # a tenth of the tolerance is left to rounding of 1e-14 a release, relative to the bound
_WIDER = np.array([1.0, 0.6, 0.35])
_LEAST_DEVIATION = 0.01
_BOUNDLESS = 1e4  # tilt times loss
_MODERATE, _NEAR = 30.0, 0.05  # logarithm of a factor on Chernoff's delta; relative distance of its epsilon
_FEWEST_STEPS = 8  # in the range of one release
_DEVIATIONS = 4.0  # of the composed loss: about the epsilon of a Gaussian at the deltas in use
_POINTS = 1 << 12  # of one release; of more atoms some stand for their neighbours
_STEPS = np.array([0.25, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 48])
_TILTS = np.exp(np.linspace(math.log(1e-6), math.log(1e7), 80))  # a release far apart is seen from small ones


@dataclass(frozen=True, slots=True)
class Range:
    """Losses of one release that a grid must hold, and the node that it should have."""

    low: float
    high: float
    origin: float


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the curve is read: the epsilon asked for or found by Chernoff, and the best tilt there."""

    tilt: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class _Span:
    """Losses of the tilted composition, and the tilts by which Chernoff bounds what lies outside."""

    low: float
    high: float
    tilt_below: float
    tilt_above: float


@final
class Pilot:
    """The composition seen through some hundred quadrature points a release."""

    def __init__(self, pairs: CountedPairs, log_delta: float) -> None:
        self._pairs = pairs
        self.counts = np.array([count for _, count in pairs], dtype=np.float64)
        tail = math.exp(max(-690.0, log_delta + math.log(_TAIL_SHARE / self.counts.sum())))
        self._samples: list[tuple[Floats, Floats]] = []
        self.ranges: list[Range] = []
        for pair, _ in pairs:
            losses, weights, reach = _cut(*pair.samples(), tail, pair.anchor)
            self._samples.append((losses, weights))
            self.ranges.append(reach)

    def log_moments(self, tilts: Floats) -> Floats:
        """K(theta) = sum over releases of log E e^(theta loss), at each of `tilts`."""
        total = np.zeros(len(tilts))
        for (losses, weights), count in zip(self._samples, self.counts, strict=True):
            exponents = np.multiply.outer(tilts, losses) + np.log(weights)
            largest = exponents.max(axis=1)
            total += count * (largest + np.log(np.exp(exponents - largest[:, None]).sum(axis=1)))
        return total

    def log_moment(self, tilt: float) -> float:
        """K at one tilt."""
        return float(self.log_moments(np.array([tilt]))[0])

    def aim_at_delta(self, log_delta: float) -> Aim:
        """The least epsilon by Chernoff, and its theta (the Renyi order less 1)."""

        def epsilons(tilts: Floats) -> Floats:
            return (self.log_moments(tilts) + _log_heaviest(tilts) - log_delta) / tilts

        tilt = _best_tilt(epsilons)
        epsilon = max(0.0, float(epsilons(np.array([tilt]))[0]))
        return Aim(self._moderate(tilt, epsilon), epsilon)

    def aim_at_epsilon(self, epsilon: float) -> Aim:
        """The theta with the least delta by Chernoff."""
        tilt = _best_tilt(lambda tilts: self.log_deltas_at(epsilon, tilts))
        return Aim(self._moderate(tilt, epsilon), epsilon)

    def log_deltas_at(self, epsilon: float, tilts: Floats) -> Floats:
        """Logarithms of the Chernoff bounds on delta: K(theta) + log max_s e^(-theta s) (1 - e^-s) - theta epsilon."""
        return self.log_moments(tilts) + _log_heaviest(tilts) - tilts * epsilon

    def _moderate(self, tilt: float, epsilon: float) -> float:
        """A much smaller tilt than one that grows without bound: epsilon is next to the largest possible loss."""
        if tilt * self._largest() < _BOUNDLESS:
            return tilt
        smaller = _TILTS[: int(np.searchsorted(_TILTS, tilt / 10))]
        log_deltas = self.log_deltas_at(epsilon, np.append(smaller, tilt))
        # Chernoff's epsilon at a smaller tilt is further off by (its log delta less the best one) / tilt
        cheap = smaller[log_deltas[:-1] - log_deltas[-1] <= np.minimum(_MODERATE, _NEAR * smaller * epsilon)]
        return float(cheap[0]) if cheap.size else tilt

    def _largest(self) -> float:
        return max(max(abs(reach.high), abs(reach.low)) for reach in self.ranges)

    def size(self, aim: Aim) -> float:
        """How large the composed losses are near the place that is read: what a relative width relates to."""
        return max(aim.epsilon, _DEVIATIONS * self.deviation(aim.tilt))

    def wider_tilt(self, aim: Aim, tolerance: float) -> float:
        """A tilt that needs the smallest window, if need be at the price of a larger Chernoff bound.

        At the best tilt a heavy upper tail may be lifted so far that its window is many times wider than needed. A
        larger bound lifts the rounding of the transform, about 1e-14 per release, by the same factor.
        """
        most = math.log(max(1.0, tolerance * aim.tilt * _AMPLIFIABLE / self.counts.sum()))
        log_deltas = self.log_deltas_at(aim.epsilon, aim.tilt * _WIDER)
        allowed = (aim.tilt * _WIDER)[log_deltas <= log_deltas[0] + min(most, _AMPLIFICATION)]
        spans = [self._span(float(tilt), tolerance) for tilt in allowed]
        return float(allowed[int(np.argmin([span.high - span.low for span in spans]))])

    def longest(self, tilt: float, tolerance: float) -> float:
        """The longest range of losses that a grid must hold: of the composition, or of one release."""
        span = self._span(tilt, tolerance)
        return max(span.high - span.low, *(reach.high - reach.low for reach in self.ranges))

    def window(self, tilt: float, h: float, tolerance: float) -> Window:
        """The window of step `h` that holds nearly all of the law tilted by `tilt`."""
        from scipy.fft import next_fast_len

        span = self._span(tilt, tolerance, self._spread(tilt, h))
        cells = next_fast_len(max(16, math.ceil((span.high - span.low) / h) + 2), real=True)
        return Window(span.low, h, cells, tilt, span.tilt_below, span.tilt_above)

    def _span(self, tilt: float, tolerance: float, spread: float = 0.0) -> _Span:
        """Where nearly all of the tilted mass lies, when a grid adds the variance `spread` to the loss."""
        steps = _STEPS / math.hypot(self.deviation(tilt), math.sqrt(spread))

        def rise(tilts: Floats) -> Floats:  # of K over its value at `tilt`; a spread likelihood ratio adds a normal one
            added = (tilts * (tilts + 1) - tilt * (tilt + 1)) / 2 * spread
            return self.log_moments(tilts) - self.log_moment(tilt) + added

        outside = math.log(min(1.0, tilt * tolerance) * _OUTSIDE)
        above = (rise(tilt + steps) - outside) / steps
        below = -(rise(tilt - steps) - outside) / steps
        high, low = int(np.argmin(above)), int(np.argmax(below))
        return _Span(float(below[low]), float(above[high]), tilt - float(steps[low]), tilt + float(steps[high]))

    def step(self, aim: Aim, width: float) -> float:
        """The largest grid step whose estimated enclosure is at most `width` wide."""
        widest = max(reach.high - reach.low for reach in self.ranges) or 1.0  # one atom: any step will do
        h = math.sqrt(8 * width / ((aim.tilt + 1) * self.counts.sum()))
        while h < widest / _FEWEST_STEPS and self.width(aim.tilt, 1.25 * h) <= width:
            h *= 1.25
        return min(h, widest / _FEWEST_STEPS, 1.0)

    def aligned(self, h: float, finest: float) -> float:
        """A step of about `h`, at least `finest`, that puts all atoms of the most frequent lattice law on nodes."""
        lattices = [(count, pair.spacing) for pair, count in self._pairs if pair.spacing is not None]
        spacing = max(lattices)[1] if lattices else 0.0
        if spacing <= max(h, finest):
            return max(h, finest)
        step = spacing / math.ceil(spacing / h)
        return step if step >= finest else spacing / math.floor(spacing / finest)

    def deviation(self, tilt: float) -> float:
        """Standard deviation of the tilted loss; not less than a hundredth of the largest of one release."""
        total = 0.0
        for losses, tilted, count in self._tilted(tilt):
            mean = float(tilted @ losses)
            total += count * float(tilted @ ((losses - mean) * (losses - mean)))
        return max(math.sqrt(total), _LEAST_DEVIATION * self._largest())

    def width(self, tilt: float, h: float) -> float:
        """About how far apart the bounds on epsilon will be: (theta + 1) / 2 times the variance between the laws."""
        spread = self._spread(tilt, h)
        return (tilt + 1) / 2 * (spread + min(h * h / 12 * float(self.counts.sum()), spread))

    def _spread(self, tilt: float, h: float) -> float:
        """The variance that connecting the dots adds to the tilted loss."""
        total = 0.0
        for (losses, tilted, count), reach in zip(self._tilted(tilt), self.ranges, strict=True):
            place = (losses - reach.origin) / h
            place = place - np.floor(place)
            total += count * h * h * float(tilted @ (place * (1 - place)))
        return total

    def _tilted(self, tilt: float) -> Iterator[tuple[Floats, Floats, float]]:
        for (losses, weights), count in zip(self._samples, self.counts, strict=True):
            exponents = tilt * losses + np.log(weights)
            tilted = np.exp(exponents - exponents.max())
            yield losses, tilted / tilted.sum(), float(count)


def _best_tilt(cost: Callable[[Floats], Floats]) -> float:
    tilts = _TILTS
    for _ in range(3):
        best = int(np.argmin(cost(tilts)))
        left, right = tilts[max(0, best - 1)], tilts[min(len(tilts) - 1, best + 1)]
        tilts = np.exp(np.linspace(math.log(left), math.log(right), 8))
    return float(tilts[int(np.argmin(cost(tilts)))])


def _cut(losses: Floats, weights: Floats, tail: float, anchor: float | None) -> tuple[Floats, Floats, Range]:
    """The samples between the two tails of P-mass `tail`, and their range."""
    order = np.argsort(losses)
    losses, weights = losses[order], weights[order]
    positive = weights > 0
    losses, weights = losses[positive], weights[positive]
    from_below, from_above = np.cumsum(weights), np.cumsum(weights[::-1])[::-1]
    kept = (from_below > tail) & (from_above > tail)
    middle = float(losses[np.searchsorted(from_below, from_below[-1] / 2)])
    losses, weights = losses[kept], weights[kept]
    reach = Range(float(losses[0]), float(losses[-1]), middle if anchor is None else anchor)
    return *_thinned(losses, weights), reach


def _thinned(losses: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """At most `_POINTS` of the rising losses, each with the weight of those around it: wide discrete noise has a
    million atoms. The one in the middle stands for them, so that atoms of a lattice stay on it.
    """
    if len(losses) <= _POINTS:
        return losses, weights
    first = np.linspace(0, len(losses), _POINTS, endpoint=False).astype(np.int64)
    middle = (first + np.append(first[1:], len(losses)) - 1) // 2
    return losses[middle], np.add.reduceat(weights, first)


def _log_heaviest(tilts: Floats) -> Floats:
    """Logarithm of max_s e^(-theta s) (1 - e^-s) = theta^theta / (1 + theta)^(1 + theta)."""
    return np.asarray(tilts * np.log(tilts / (1 + tilts)) - np.log1p(tilts))
