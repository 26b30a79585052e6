"""Rényi divergence of the Poisson-sampled Gaussian mechanism, for many orders at once.

A(order) = E_{z ~ N(0, s^2)} [((1 - q) + q exp((2 z - 1) / (2 s^2)))^order] and RDP(order) = log A / (order - 1). The
other direction is never larger, so this holds for adding and for removing one record.
Source: Mironov, Talwar, Zhang 2019 (arXiv 1908.10530), section 3.3; theorem 5 for the direction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SERIES_TERMS = 256
_ROUNDING = 1e-14  # allowance per unit of exponent for the rounding of the alternating series, relative to their size
_ALWAYS_EVALUATED = 64  # orders up to here are evaluated at any price
_HOPELESS = 1e3  # a larger order whose RDP surely exceeds this cannot be the best one: infinity is a sound answer


@lru_cache(maxsize=1024)
def sampled_gaussian_rdp(probability: float, noise_multiplier: float, all_orders: tuple[float, ...]) -> Floats:
    """Upper bound on the RDP at each of the orders (all > 1) for 0 < probability < 1 and noise_multiplier > 0.

    Exact up to rounding at integer orders, up to a truncation that is added on at fractional ones; infinity where
    an order cannot be evaluated. Shape `[orders]`, read-only.
    """
    orders = np.asarray(all_orders, dtype=np.float64)
    floors, ceilings = np.floor(orders), np.ceil(orders)
    integers = np.unique(np.concatenate([floors, ceilings]))
    moments = np.array([_log_moment_of_integer(probability, noise_multiplier, int(order)) for order in integers])
    at_floor = moments[np.searchsorted(integers, floors)]
    at_ceiling = moments[np.searchsorted(integers, ceilings)]
    # log A is convex in the order, so its chord between two integers is an upper bound (log-convexity of moments)
    with np.errstate(invalid="ignore"):
        chord = np.where(floors == ceilings, at_floor, at_floor + (orders - floors) * (at_ceiling - at_floor))
    chord = np.where(np.isnan(chord), np.inf, chord)
    fractional = (floors != ceilings) & (orders < _SERIES_TERMS - 2)
    if fractional.any():
        series = _log_moments_by_series(probability, noise_multiplier, tuple(orders[fractional]))
        chord[fractional] = np.fmin(chord[fractional], series)
    rdp = np.asarray(chord / (orders - 1), dtype=np.float64)
    rdp.setflags(write=False)
    return rdp


def _log_moment_of_integer(q: float, s: float, order: int) -> float:
    """The logarithm of A(order) by the binomial sum, all of whose terms are positive.

    A - 1 = sum_{k=2}^{order} C(order, k) q^k (1 - q)^(order - k) (exp((k^2 - k) / (2 s^2)) - 1): the sum for A minus
    the binomial theorem for 1, so that A - 1 keeps its relative precision for tiny q.
    """
    if order < 2:
        return 0.0
    at_least = order * np.log(q) + order * (order - 1) / s / s / 2  # the last term of the sum
    if order > _ALWAYS_EVALUATED and at_least > _HOPELESS * (order - 1):
        return float("inf")
    k = np.arange(2, order + 1, dtype=np.float64)
    log_factorial = _log_factorials(order)
    log_binomial = log_factorial[order] - log_factorial[2 : order + 1] - log_factorial[order - 2 :: -1]
    exponent = k * (k - 1) / s / s / 2
    log_terms = log_binomial + k * np.log(q) + (order - k) * np.log1p(-q) + _log_expm1(exponent)
    largest = log_terms.max()
    if not np.isfinite(largest):
        return float("inf")
    return float(np.logaddexp(0.0, largest + np.log(np.exp(log_terms - largest).sum())))


def _log_moments_by_series(q: float, s: float, orders: tuple[float, ...]) -> Floats:
    """Upper bounds on log A at fractional orders by the two series of section 3.3; NaN where they overflow.

    The integral is split at z0, where q mu_1 = (1 - q) mu_0, and each half expanded in the smaller of the two. Past
    i > order the terms alternate in sign and shrink (both |C(order, i)| and the integrals do), so that the first term
    left out bounds the truncation: it is added on.
    """
    from scipy.special import log_ndtr

    order = np.asarray(orders)[:, None]
    i = np.arange(_SERIES_TERMS, dtype=np.float64)[None, :]
    j = order - i
    log_binomial, sign = _binomials(orders)
    with np.errstate(all="ignore"):
        z0 = np.float64(s) * s * (np.log1p(-q) - np.log(q)) + 0.5
        below = i * np.log(q) + j * np.log1p(-q) + i * (i - 1) / s / s / 2 + log_ndtr((z0 - i) / s)
        above = j * np.log(q) + i * np.log1p(-q) + j * (j - 1) / s / s / 2 + log_ndtr((j - z0) / s)
        log_terms = log_binomial + np.logaddexp(below, above)
        largest = log_terms.max(axis=1, keepdims=True)
        sizes = np.exp(log_terms - largest)
        rounding = _ROUNDING * (1 + np.abs(largest[:, 0])) * sizes.sum(axis=1)
        total = (sign * sizes)[:, :-1].sum(axis=1) + sizes[:, -1] + rounding
        return np.asarray(np.maximum(largest[:, 0] + np.log(total), 0.0))


@lru_cache(maxsize=8)
def _binomials(orders: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Logarithm of |C(order, i)| and its sign for i = 0 .. _SERIES_TERMS - 1; shape [orders, terms]."""
    from scipy.special import gammaln, gammasgn

    order = np.asarray(orders)[:, None]
    i = np.arange(_SERIES_TERMS, dtype=np.float64)[None, :]
    log_binomial = gammaln(order + 1) - gammaln(i + 1) - gammaln(order - i + 1)
    return log_binomial, gammasgn(order - i + 1)


@lru_cache(maxsize=1)
def _log_factorial_table(size: int) -> Floats:
    from scipy.special import gammaln

    return np.asarray(gammaln(np.arange(size, dtype=np.float64) + 1))


def _log_factorials(order: int) -> Floats:
    """Logarithms of n! for n = 0 .. at least `order`, from a table that grows by doubling."""
    return _log_factorial_table(1 << max(16, order.bit_length()))


def _log_expm1(x: Floats) -> Floats:
    """log(e^x - 1) for x > 0 without overflow."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.where(x > 1, x + np.log1p(-np.exp(-x)), np.log(np.expm1(np.minimum(x, 1)))))
