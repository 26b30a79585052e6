"""From counted pairs to an enclosure: choose a grid, compose both laws, read off, refine until narrow enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dpgen.accountants.pld.compose import Composition, Window, compose
from dpgen.accountants.pld.crossing import Enclosure, crossing
from dpgen.accountants.pld.discretise import (
    Bins,
    GridLaw,
    best_origin,
    bins_of,
    dominated,
    dominating,
    half_edges,
    rounding_cost,
)
from dpgen.accountants.pld.pair import Cells, Pair
from dpgen.accountants.pld.pilot import Aim, CountedPairs, Pilot, Range

Measured = tuple[float, float, float]
"""(lower, upper, how far apart they are in terms of epsilon)."""

Read = Callable[[Composition, Composition | None], Enclosure]
"""What is asked of the dominating and, where there is one, of the dominated composition."""

Distance = Callable[[float, float], float]
"""How far a lower number lies below an upper one, in terms of epsilon; infinite when one of them says nothing."""

_AIM = 0.6  # of the tolerance is aimed at, by an estimate
_MANY = 16  # different releases
_SMALL_COST = 0.02  # of h^2, per release: less than what the discretisation costs anyway
_SMALL_SHARE = 0.03  # of the tolerance, for all releases together
_REFINEMENTS = 4
_NO_PROGRESS = 0.8  # of the width before: what is left is not the grid's
_HALF = 0.5  # of a step: the next grid, where the width does not tell how far off this one was
_LEFT = 1 / 3  # of what the last halving gained is all that finer grids can gain: errors fall with h^2
_READ_ERROR = 0.01  # of the tolerance, in finding a root


@dataclass(frozen=True, slots=True)
class Limits:
    """How narrow the enclosure of epsilon should be, and how many cells one grid may have."""

    tolerance: float
    cells: int
    relative: bool = False
    """Of losses smaller than 1 the tolerance is this share."""
    upper_only: bool = False
    """One look from above, without a lower bound."""

    def of(self, size: float) -> Limits:
        """These limits for losses of this size: of tiny ones an absolute width would tell nothing."""
        return replace(self, tolerance=self.tolerance * min(1.0, size)) if self.relative and size > 0 else self


def enclose_epsilon(pairs: CountedPairs, delta: float, limits: Limits) -> Measured:
    """Bounds on the epsilon at `delta` of the composed pairs, in this one direction."""
    pilot = Pilot(pairs, math.log(delta))
    aim = pilot.aim_at_delta(math.log(delta))
    limits = limits.of(pilot.size(aim))
    slack = _READ_ERROR * limits.tolerance

    def read(above: Composition, below: Composition | None) -> Enclosure:
        upper = crossing(above.delta_above, delta, above.near(delta, aim.epsilon), slack, above.step)[1]
        if below is None:
            return -math.inf, upper
        return crossing(below.delta_below, delta, below.near(delta, aim.epsilon), slack, below.step)[0], upper

    return _refine(pairs, pilot, aim, limits, read, lambda low, high: high - low if low < high else 0.0)


def enclose_delta(pairs: CountedPairs, epsilon: float, limits: Limits) -> Measured:
    """Bounds on the delta at `epsilon` of the composed pairs, in this one direction."""
    rough = Pilot(pairs, -690.0)
    log_delta = float(rough.log_deltas_at(epsilon, np.array([rough.aim_at_epsilon(epsilon).tilt]))[0])
    # far apart, a rare and heavy loss takes the rough estimate above 1, which no delta is
    pilot = Pilot(pairs, max(-650.0, min(0.0, log_delta) - 5))
    aim = pilot.aim_at_epsilon(epsilon)
    limits = limits.of(pilot.size(aim))

    def read(above: Composition, below: Composition | None) -> Enclosure:
        return below.delta_below(epsilon) if below is not None else 0.0, above.delta_above(epsilon)

    def distance(low: float, high: float) -> float:
        return math.log(high / low) / aim.tilt if low > 0 else math.inf  # d log delta / d epsilon is about -theta

    return _refine(pairs, pilot, aim, limits, read, distance)


def _refine(pairs: CountedPairs, pilot: Pilot, aim: Aim, limits: Limits, read: Read, distance: Distance) -> Measured:
    """The intersection of the enclosures of ever finer grids, until it is narrow enough or the grid is the last."""
    lower, upper, width = -math.inf, math.inf, math.inf
    tilt = pilot.wider_tilt(aim, limits.tolerance)
    # many different releases cost by their number: a finer grid is nearly free, and needs fewer searches for origins
    aimed = _AIM * limits.tolerance * (1 if len(pairs) < _MANY else 0.5)
    h, finest, last = pilot.step(aim, aimed), pilot.longest(tilt, limits.tolerance) / limits.cells, math.inf
    apart = any(pair.reached is not pair for pair, _ in pairs)
    for _ in range(_REFINEMENTS):
        h = pilot.aligned(h, finest)
        if h >= last:
            break
        ends = read(*_compose_both(pairs, pilot, pilot.window(tilt, h, limits.tolerance), limits))
        before, raised = width, upper
        lower, upper = max(lower, ends[0]), min(upper, ends[1])
        width = distance(lower, upper)
        if width <= limits.tolerance or limits.upper_only:
            break
        if apart:  # the gap between the laws stays, so that the width does not tell how far off the upper end is
            settled = distance(upper, raised) <= limits.tolerance < width - _LEFT * (before - width)
        else:
            settled = width > _NO_PROGRESS * before
        if settled:
            break
        last, h = h, h * (_HALF if apart else _shrink(width, limits.tolerance))
    return lower, upper, width


def _shrink(width: float, tolerance: float) -> float:
    """By how much a grid that left `width` must become finer. Second order: the width falls with h^2."""
    return max(0.1, 0.9 * math.sqrt(_AIM * tolerance / width)) if math.isfinite(width) else 0.25


def _compose_both(
    pairs: CountedPairs, pilot: Pilot, window: Window, limits: Limits
) -> tuple[Composition, Composition | None]:
    above: list[tuple[GridLaw, int]] = []
    below: list[tuple[GridLaw, int]] = []
    h, total = window.h, sum(count for _, count in pairs)
    enough = max(_SMALL_COST * h * h, _SMALL_SHARE * limits.tolerance / total)
    for (pair, count), reach in zip(pairs, pilot.ranges, strict=True):
        if limits.upper_only:
            above.append((dominating(*_cells(pair, reach, _start(pair, reach, h), h), h), count))
            continue
        cells, bins, origin, low = _grid(pair, reach, h, enough)
        above.append((dominating(cells, origin, low, h), count))
        if pair.reached is not pair:
            cells, bins, origin, low = _grid(pair.reached, reach, h, enough)
        below.append((dominated(bins, cells, origin, low), count))
    return compose(above, window), compose(below, window) if below else None


def _start(pair: Pair, reach: Range, h: float) -> float:
    """The origin to try first: a node a quarter of a step inside an end of the losses mostly costs nothing."""
    if pair.anchor is not None or pair.end is None:
        return reach.origin
    loss, side = pair.end
    return loss + side * h / 4


def _cells(pair: Pair, reach: Range, origin: float, h: float) -> tuple[Cells, float, int]:
    """(cells, origin, first node) of a grid that holds the range."""
    low, high = math.floor((reach.low - origin) / h) - 1, math.ceil((reach.high - origin) / h) + 1
    return pair.cells(half_edges(origin, h, low, high)), origin, low


def _grid(pair: Pair, reach: Range, h: float, enough: float) -> tuple[Cells, Bins, float, int]:
    """(cells, bins, origin, first node) of a grid, of another origin when the first one costs much."""
    start = _start(pair, reach, h)
    cells, origin, low = _cells(pair, reach, start, h)
    bins = bins_of(cells, h)
    if pair.anchor is None and rounding_cost(bins, h)[0] > enough:
        cells, origin, low = _cells(pair, reach, best_origin(pair, reach.origin, h, enough), h)
        bins = bins_of(cells, h)
    return cells, bins, origin, low
