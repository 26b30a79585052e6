"""Rényi divergence of each flattened leaf, at many orders at once: one formula each, with its source.

Sampling is priced from the moments mu_k = E_Q[(P/Q)^k] of what runs on the sample. Poisson sampling under
add-or-remove-one: `sampled_moments`. A fixed-size sample, and every sampling under replace-one, has the profile
(log(1 + q (e^e - 1)), q D(e)) of advanced joint convexity (Balle, Barthe, Gaboardi 2018, arXiv 1807.01647), where D is
the profile of any two of the three inputs: without the record, with the one, with the other. An f-divergence is an
integral of hockey-stick divergences, so that this profile bounds it. With x = P/Q, r = 1 - q + q x and order a,

    A(a) <= 1 + E_Q[(r^a - 1 - a (r - 1)) + (r^(1 - a) - 1 + (a - 1) (r - 1)); r > 1]
         <= E_Q[r^a] + min(a (a - 1) / 2 q^2 (mu_2 - 1), (a - 1) q),

the first part by positivity of its integrand, the second by its curvature, at most a (a - 1), and by r^(1 - a) <= 1.
E_Q[r^a] is the Poisson-sampled moment. No term is above its counterpart in theorem 9 of Wang, Balle, Kasiviswanathan
2019 (arXiv 1808.00087), whose constants are 2 and 4 where this has 1 and 2. Poisson sampling under replace-one has a
second bound, see `_through_absence`.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dpgen.accountants.flatten import gaussian_mu
from dpgen.accountants.rdp.sampled_gaussian import gaussian_log_excess, log_expm1, sampled_gaussian_log_moments
from dpgen.accountants.rdp.sampled_moments import LogExcess, sampled_log_moments
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.events import (
    AggregatePosterior,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    NonPrivate,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
)

Floats = NDArray[np.float64]
Orders = tuple[float, ...]

_LARGEST_THROUGH_ABSENCE = 4096.0  # doubling larger orders would cost more than they ever prove


def rdp_curve(leaf: DpEvent, orders: Orders, relation: NeighboringRelation) -> Floats:
    """Upper bound on the Rényi divergence of a supported leaf at ascending orders > 1; infinity where nothing is."""
    with np.errstate(over="ignore", divide="ignore"):  # moments beyond float, or too close to 1 for it
        return np.asarray(_log_moments(leaf, orders, relation) / (np.asarray(orders) - 1))


def _log_moments(leaf: DpEvent, orders: Orders, relation: NeighboringRelation) -> Floats:
    """(order - 1) times the Rényi divergence: log E_Q[(P/Q)^order]."""
    match leaf:
        case OnShards(event=inner):
            return _log_moments(inner, orders, REPLACE_ONE)
        case PoissonSampled(event=NonPrivate()) | SampledWithoutReplacement(event=NonPrivate()) | NonPrivate():
            return np.full(len(orders), np.inf)
        case PoissonSampled(probability=q, event=Gaussian() | Laplace() as inner) if relation is REPLACE_ONE:
            return np.minimum(_sampled_log_moments(q, inner, orders, relation), _through_absence(q, inner, orders))
        case PoissonSampled(probability=q, event=inner):
            return _sampled_log_moments(q, inner, orders, relation)
        case SampledWithoutReplacement(records=records, sample=sample, event=inner):
            return _sampled_log_moments(sample / records, inner, orders, relation)
        case AggregatePosterior(records=records, draws=1, separation=separation):
            if relation is REPLACE_ONE:  # the inner distance is the separation itself: no doubling
                return _sampled_log_moments(1 / records, Gaussian(2 / separation), orders, relation)
            return _sampled_log_moments(1 / (records + 1), Gaussian(1 / separation), orders, relation)
    return _unsampled_log_moments(leaf, np.asarray(orders), relation)


def _sampled_log_moments(q: float, inner: DpEvent, orders: Orders, relation: NeighboringRelation) -> Floats:
    at = np.asarray(orders)
    whole = _unsampled_log_moments(inner, at, relation)  # sampling never costs: Rényi divergence is quasi-convex
    if q == 1:
        return whole
    log_excess = _log_excess(inner, relation)
    if isinstance(inner, Gaussian):
        log_moments = sampled_gaussian_log_moments(q, gaussian_mu(inner, relation), orders)
    else:
        log_moments = sampled_log_moments(q, log_excess, at)
    if relation is REPLACE_ONE:
        by_curvature = np.log(at * (at - 1) / 2) + 2 * math.log(q) + log_excess(np.array([2.0]))
        log_moments = np.logaddexp(log_moments, np.minimum(by_curvature, np.log(at - 1) + math.log(q)))
    return np.minimum(log_moments, whole)


def _through_absence(q: float, inner: DpEvent, orders: Orders) -> Floats:
    """Poisson sampling under replace-one by way of the law R without either record (Cauchy, Schwarz).

    With P and Q the laws with the one and with the other, P^a Q^(1 - a) = (P^a R^(1/2 - a)) (R^(a - 1/2) Q^(1 - a)), so
    A(a)^2 is at most the moment of order 2 a of (P, R) times that of order 2 a - 1 of (R, Q): two add-or-remove-one
    prices, at half the distance of replace-one.
    """
    low = tuple(order for order in orders if order <= _LARGEST_THROUGH_ABSENCE)
    above, below = (
        _sampled_log_moments(q, inner, tuple(2 * order - less for order in low), ADD_OR_REMOVE_ONE) for less in (0, 1)
    )
    return np.concatenate([(above + below) / 2, np.full(len(orders) - len(low), np.inf)])


def _log_excess(inner: DpEvent, relation: NeighboringRelation) -> LogExcess:
    """The logarithm of mu_k - 1 as a function of k, exactly or from above."""
    match inner:
        case Gaussian():
            return partial(gaussian_log_excess, gaussian_mu(inner, relation))
        case DiscreteGaussian(scale=scale, touched=touched):
            # mu_k <= exp(k (k - 1) / (2 scale^2)) for each cell: Canonne, Kamath, Steinke 2020, proposition 5
            return partial(gaussian_log_excess, math.sqrt(touched) / scale)
        case Laplace():
            return partial(_laplace_log_excess, _laplace_distance(inner, relation))
        case EpsilonDelta(epsilon=epsilon, delta=0):
            return partial(_pure_log_excess, epsilon)
    raise AssertionError(f"no moments of {inner}; `rdp_refusal` should have said so")


def _unsampled_log_moments(leaf: DpEvent, orders: Floats, relation: NeighboringRelation) -> Floats:
    match leaf:
        case Gaussian():
            # order * mu^2 / 2: Mironov 2017 (arXiv 1702.07476), table II
            return (orders - 1) * orders * np.float64(gaussian_mu(leaf, relation)) ** 2 / 2
        case DiscreteGaussian(scale=scale, touched=touched):
            # touched * order / (2 scale^2): Canonne, Kamath, Steinke 2020, proposition 5; cells are independent
            return (orders - 1) * touched * orders * np.float64(1 / scale) ** 2 / 2
        case Laplace():
            return np.logaddexp(0, _laplace_log_excess(_laplace_distance(leaf, relation), orders))
        case EpsilonDelta(epsilon=epsilon, delta=0):
            return np.logaddexp(0, _pure_log_excess(epsilon, orders))
    raise AssertionError(f"no moments of {leaf}; `rdp_refusal` should have said so")


def _laplace_distance(leaf: Laplace, relation: NeighboringRelation) -> float:
    return (2.0 if relation is REPLACE_ONE else 1.0) / leaf.noise_multiplier


def _laplace_log_excess(distance: float, order: Floats) -> Floats:
    """log(mu_a - 1), mu_a = a/(2a - 1) e^((a - 1) t) + (a - 1)/(2a - 1) e^(-a t): Mironov 2017, table II.

    `distance` t is the shift over the scale. With p(x) = e^x - 1 - x it is (a p((a - 1) t) + (a - 1) p(-a t)) /
    (2a - 1), without cancellation.
    """
    up, down = (order - 1) * distance, -order * distance
    small = (order * _expm1_minus(np.minimum(up, 30)) + (order - 1) * _expm1_minus(down)) / (2 * order - 1)
    large = log_expm1(
        np.maximum(up, 30) + np.log(order / (2 * order - 1)) + np.log1p((order - 1) / order * np.exp(down - up))
    )
    return np.where(up > 30, large, np.log(small))


def _expm1_minus(x: Floats) -> Floats:
    """e^x - 1 - x, by its series near 0."""
    series = x * x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7)))))
    return np.where(np.abs(x) < 1e-2, series, np.expm1(x) - x)


def _pure_log_excess(epsilon: float, order: Floats) -> Floats:
    """log(mu_a - 1) of randomised response, the worst of all (epsilon, 0)-DP pairs (Kairouz, Oh, Viswanath 2015).

    mu_a = (e^(a epsilon) + e^((1 - a) epsilon)) / (1 + e^epsilon) = 1 + 2 sinh(a e/2) sinh((a - 1) e/2) / cosh(e/2).
    """
    log_2cosh = epsilon / 2 + math.log1p(math.exp(-epsilon))
    return _log_2sinh(order * epsilon / 2) + _log_2sinh((order - 1) * epsilon / 2) - log_2cosh


def _log_2sinh(x: Floats) -> Floats:
    return np.asarray(x + np.log(-np.expm1(-2 * x)))
