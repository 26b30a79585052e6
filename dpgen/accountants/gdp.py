"""Gaussian differential privacy: exact for plain Gaussians, a central-limit approximation for sampled ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.flatten import flatten, gaussian_mu
from dpgen.budget import REPLACE_ONE, BoundKind, NeighboringRelation
from dpgen.errors import UnsupportedEvent
from dpgen.events import DpEvent, Gaussian, NonPrivate, PoissonSampled

_ROUNDING = 1e-13  # allowance for the rounding of the normal tails, relative, per unit of exponent
_UNDERFLOW = 1e-322  # and absolute: what is smaller has lost its digits, or has become 0
_NOT_PRIVATE = math.inf


@final
class GdpAccountant(Accountant):
    """The exact price of compositions of plain Gaussians (Balle, Wang 2018, theorem 8), nothing else.

    `lower` and `upper` are the exact value moved outwards by the rounding of float64, about 1e-12. Adaptive: mu adds
    in squares even when later noise is chosen from earlier outputs (Smith, Thakurta 2022, arXiv 2210.17520).
    """

    name: ClassVar[str] = "gdp"
    kind: ClassVar[BoundKind] = "bound"
    cites: ClassVar[tuple[str, ...]] = (
        "Balle, Wang: Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration and "
        "Optimal Denoising. ICML 2018. arXiv 1805.06530",
        "Dong, Roth, Su: Gaussian Differential Privacy. Journal of the Royal Statistical Society B 2022. arXiv "
        "1905.02383",
    )

    @property
    def adaptive(self) -> bool:
        """Always true."""
        return True

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`."""
        return all(isinstance(leaf, Gaussian | NonPrivate) for leaf in flatten(event))

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`."""
        validate.open_unit(delta=delta)
        return gaussian_epsilon(self._mu(event, NeighboringRelation(relation)), delta)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`."""
        validate.not_negative(epsilon=epsilon)
        return gaussian_delta(self._mu(event, NeighboringRelation(relation)), epsilon)

    def _mu(self, event: DpEvent, relation: NeighboringRelation) -> float:
        leaves = flatten(event)
        for leaf in leaves:
            if not isinstance(leaf, Gaussian | NonPrivate):
                reason = "it is exact, and for plain Gaussians only"
                raise UnsupportedEvent(leaf, accountant=self.name, reason=reason, alternatives=("pld", "rdp"))
        if NonPrivate() in leaves:
            return _NOT_PRIVATE
        return sum(gaussian_mu(leaf, relation) for leaf in leaves if isinstance(leaf, Gaussian))  # flatten leaves one


@final
class GdpCltAccountant(Accountant):
    """An approximation for Poisson-sampled Gaussians by the central limit theorem. It proves nothing.

    mu = q sqrt(T (exp(1/s^2) - 1)) (Bu, Dong, Long, Su 2020, arXiv 1911.11607, section 3); mixed compositions add mu
    in squares. It often lies below the truth (by half an epsilon, or more at few steps), so it never enforces a budget.
    Its bounds are `lower` 0, `upper` infinity (delta: 1); the approximation is the `estimate`.
    """

    name: ClassVar[str] = "gdp_clt"
    kind: ClassVar[BoundKind] = "approximation"
    cites: ClassVar[tuple[str, ...]] = (
        "Bu, Dong, Long, Su: Deep Learning with Gaussian Differential Privacy. Harvard Data Science Review 2020. "
        "arXiv 1911.11607",
    )

    @property
    def adaptive(self) -> bool:
        """Never."""
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`."""
        return all(_clt_squared_mu(leaf, NeighboringRelation(relation)) is not None for leaf in flatten(event))

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; only `estimate` says anything."""
        validate.open_unit(delta=delta)
        estimate = gaussian_epsilon(self._mu(event, NeighboringRelation(relation)), delta).estimate
        return Bound(lower=0.0, estimate=estimate, upper=math.inf, kind=self.kind)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; only `estimate` says anything."""
        validate.not_negative(epsilon=epsilon)
        estimate = gaussian_delta(self._mu(event, NeighboringRelation(relation)), epsilon).estimate
        return Bound(lower=0.0, estimate=estimate, upper=1.0, kind=self.kind)

    def _mu(self, event: DpEvent, relation: NeighboringRelation) -> float:
        squares = 0.0
        for leaf, count in flatten(event).items():
            square = _clt_squared_mu(leaf, relation)
            if square is None:
                reason = "the central limit is used for Poisson-sampled and plain Gaussians under add_or_remove_one"
                raise UnsupportedEvent(leaf, accountant=self.name, reason=reason, alternatives=("pld", "rdp"))
            squares += count * square
        return math.sqrt(squares)


def _clt_squared_mu(leaf: DpEvent, relation: NeighboringRelation) -> float | None:
    match leaf:
        case Gaussian():
            mu = gaussian_mu(leaf, relation)
            return mu * mu
        case PoissonSampled(probability=q, event=Gaussian(noise_multiplier=s)) if relation is not REPLACE_ONE:
            exponent = 1 / s / s
            return q * q * math.expm1(exponent) if exponent < 700 else _NOT_PRIVATE
        case NonPrivate() | PoissonSampled(event=NonPrivate()):
            return _NOT_PRIVATE
    return None


def gaussian_delta(mu: float, epsilon: float) -> Bound:
    """The delta of a Gaussian with `mu` standard deviations between neighbours; `mu` may be 0 or infinite."""
    if mu == 0 or math.isinf(mu):
        exact = 0.0 if mu == 0 else 1.0
        return Bound(exact, exact, exact, "bound")
    exact, rounding = _delta(mu, epsilon)
    return Bound(max(0.0, exact - rounding), min(1.0, exact), min(1.0, exact + rounding), "bound")


def gaussian_epsilon(mu: float, delta: float) -> Bound:
    """The epsilon of a Gaussian with `mu` standard deviations between neighbours; `mu` may be 0 or infinite."""
    if mu == 0 or math.isinf(mu):
        exact = 0.0 if mu == 0 else math.inf
        return Bound(exact, exact, exact, "bound")
    # Chernoff: P(loss > epsilon) <= delta at this epsilon, so the root lies below it
    highest = (mu * mu / 2 + mu * math.sqrt(-2 * math.log(delta))) * (1 + 1e-12)
    lower, _ = _crossing(lambda epsilon: _delta(mu, epsilon)[0] - _delta(mu, epsilon)[1], delta, highest)
    _, upper = _crossing(lambda epsilon: sum(_delta(mu, epsilon)), delta, highest)
    return Bound(lower, (lower + upper) / 2, upper, "bound")


def _delta(mu: float, epsilon: float) -> tuple[float, float]:
    """(value, rounding): Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu), Balle, Wang 2018, theorem 8."""
    from scipy.special import log_ndtr

    first = math.exp(log_ndtr(mu / 2 - epsilon / mu))
    second = math.exp(min(0.0, epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))))
    # the exponents are rounded relative to their own size, which the tails then multiply
    distance = mu / 2 + epsilon / mu
    return max(0.0, first - second), _ROUNDING * (1 + epsilon + distance * distance) * first + _UNDERFLOW


def _crossing(falling: Callable[[float], float], level: float, highest: float) -> tuple[float, float]:
    """Neighbouring (above, at or below) points around the place where `falling` crosses `level`, by bisection."""
    if falling(0.0) <= level:
        return 0.0, 0.0
    above, below = 0.0, highest
    while (middle := (above + below) / 2) not in (above, below):
        above, below = (middle, below) if falling(middle) > level else (above, middle)
    return above, below
