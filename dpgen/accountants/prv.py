"""Tight numerical composition by the prv-accountant package: an interval around the true epsilon, its upper end enforces.

Source: Gopi, Lee, Wutschitz 2021, Numerical Composition of Differential Privacy (arXiv 2106.02848), theorem 5.5.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.flatten import Leaves, flatten, gaussian_mu, refusal, require_supported
from dpgen.accountants.gdp import GdpAccountant
from dpgen.accountants.privacy_loss import DiscreteGaussianLoss, GaussianLoss, PrivacyLoss, SampledGaussianLoss
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import BoundKind, NeighboringRelation
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, NonPrivate, PoissonSampled, SelfComposed

_MOST_CELLS = 1 << 20  # of all grids together; about 0.3 GiB and a few seconds
_WIDEST_ERROR = 1.0  # an interval wider than this says less than rdp does
_LARGEST_EPSILON = 100.0  # beyond it e^epsilon eats the precision of the sums, and nobody wants the third digit
_LARGEST_SCALE = 1e4  # of discrete noise, whose atoms are listed one by one
_FAILURES = (RuntimeError, ValueError, AssertionError, ArithmeticError, IndexError, MemoryError)
"""How the package reports that it cannot answer ("Discrete mean differs ...", a grid too large, a delta too small)."""


@final
class PrvAccountant(Accountant):
    """Tight bounds by composing privacy-loss distributions on a grid (Gopi, Lee, Wutschitz 2021).

    Supports what `rdp` supports. `upper` is what enforces; it is never above the upper end of `rdp`. Where the grid
    cannot answer (epsilon above 100, a delta so small that rounding would dominate, a failure of the package), the
    answer is the sound interval from 0 to the upper end of `rdp`. Plain Gaussians alone are priced exactly. Not
    adaptive: all settings must be fixed before the first release.

    The package itself covers one direction (the record is removed). Here both directions are composed, each as its
    own product, and the larger one counts.

    Args:
        epsilon_error: half the width of the interval, in epsilon (> 0). A composition too large for the grid gets a
            wider one instead of a guess.
    """

    name: ClassVar[str] = "prv"
    kind: ClassVar[BoundKind] = "bound"

    def __init__(self, epsilon_error: float = 0.01) -> None:
        validate.positive(epsilon_error=epsilon_error)
        self.epsilon_error = float(epsilon_error)
        self._rdp = RdpAccountant()

    @property
    def adaptive(self) -> bool:
        """Never."""
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`."""
        return all(refusal(leaf, NeighboringRelation(relation)) is None for leaf in flatten(event))

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; `upper` is what enforces."""
        validate.open_unit(delta=delta)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation)
        if all(isinstance(leaf, Gaussian | NonPrivate) for leaf in leaves):
            return GdpAccountant().epsilon(event, delta=delta, relation=relation)
        proved = self._rdp.epsilon(event, delta=delta, relation=relation).upper
        if proved > _LARGEST_EPSILON:
            return _within(0.0, proved, proved, proved)
        grid = self._grid(leaves, delta, relation)
        bounds = [grid and _epsilon(grid, _losses(leaves, relation, removing), delta) for removing in _sides(leaves)]
        return _largest(bounds, proved)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; `upper` is what enforces."""
        validate.not_negative(epsilon=epsilon)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation)
        if all(isinstance(leaf, Gaussian | NonPrivate) for leaf in leaves):
            return GdpAccountant().delta(event, epsilon=epsilon, relation=relation)
        proved = self._rdp.delta(event, epsilon=epsilon, relation=relation).upper
        if epsilon > _LARGEST_EPSILON or not 0 < proved < 1:
            return _within(0.0, proved, proved, proved)
        grid = self._grid(leaves, proved, relation)
        bounds = [grid and _delta(grid, _losses(leaves, relation, removing), epsilon) for removing in _sides(leaves)]
        return _largest(bounds, proved)

    def _grid(self, leaves: Leaves, delta: float, relation: NeighboringRelation) -> _Grid | None:
        """The grid of theorem 5.5, sized from the leaves; None when no useful one is small enough."""
        from scipy.fft import next_fast_len

        if any(isinstance(leaf, DiscreteGaussian) and leaf.scale > _LARGEST_SCALE for leaf in leaves):
            return None
        delta_error, total = delta / 1000, sum(leaves.values())
        reach = self._reach(leaves, delta_error, relation)
        # mesh = epsilon_error / sqrt(total / 2 * log(12 / delta_error)), over [-reach, reach]
        per_error = 2 * math.sqrt(total / 2 * math.log(12 / delta_error))
        error = self.epsilon_error
        while (cells := (reach + error) * per_error / error) * len(leaves) > _MOST_CELLS:
            error *= 1.25
            if error > _WIDEST_ERROR:
                return None
        half = next_fast_len(math.ceil(cells / 2) + 1, real=True) - 1  # 2 half + 2 points: a length the FFT likes
        return _Grid(half=half, mesh=2 * error / per_error, epsilon_error=error, delta_error=delta_error)

    def _reach(self, leaves: Leaves, delta_error: float, relation: NeighboringRelation) -> float:
        """Half the width that keeps all but `delta_error` of the loss: remark 5.6, with our RDP for its epsilons."""
        whole = Composed(tuple(SelfComposed(leaf, count) for leaf, count in leaves.items()))
        reach = self._rdp.epsilon(whole, delta=delta_error / 4, relation=relation).upper
        for leaf in leaves:
            share = delta_error / 8 / sum(leaves.values())
            reach = max(reach, self._rdp.epsilon(leaf, delta=share, relation=relation).upper)
        return reach + 3


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells of width `mesh` around the points mesh * (-half .. half + 1), with the errors that this mesh proves."""

    half: int
    mesh: float
    epsilon_error: float
    delta_error: float


class _Truncated:
    """A loss conditioned on the span of the grid: what the package's discretiser asks for."""

    pm_inf = 0.0  # no loss here is infinite with positive probability

    def __init__(self, loss: PrivacyLoss, low: float, high: float) -> None:
        self.loss, self.low, self.high = loss, low, high
        self.inside = float(loss.masses(np.array([low, high]))[0])

    def probability(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.longdouble]:
        edges = np.append(left, right[-1:]).astype(np.float64)
        masses = self.loss.masses(np.clip(edges, self.low, self.high))
        return masses.astype(np.longdouble) / self.inside  # extended precision carries over into the FFT

    def mean(self) -> float:
        return self.loss.partial_mean(self.low, self.high) / self.inside


def _sides(leaves: Leaves) -> tuple[bool, ...]:
    """The directions to compose: one when every pair is symmetric."""
    return (True, False) if any(isinstance(leaf, PoissonSampled) for leaf in leaves) else (True,)


def _losses(leaves: Leaves, relation: NeighboringRelation, removing: bool) -> list[tuple[PrivacyLoss, int]] | None:
    losses: list[tuple[PrivacyLoss, int]] = []
    for leaf, count in leaves.items():
        match leaf:
            case Gaussian():
                losses.append((GaussianLoss(gaussian_mu(leaf, relation)), count))
            case DiscreteGaussian(scale=scale):
                losses.append((DiscreteGaussianLoss(scale), count))
            case PoissonSampled(probability=probability, event=Gaussian(noise_multiplier=noise_multiplier)):
                losses.append((SampledGaussianLoss(probability, noise_multiplier, removing=removing), count))
            case _:
                return None
    return losses


def _composed(grid: _Grid, losses: list[tuple[PrivacyLoss, int]]) -> tuple[Any, float]:
    """The package's composed distribution, and how much delta the rounding of its Fourier transforms may move."""
    from prv_accountant.composers import Heterogeneous
    from prv_accountant.discretisers import CellCentred
    from prv_accountant.domain import Domain

    domain = Domain(-grid.half * grid.mesh, (grid.half + 1) * grid.mesh, 2 * grid.half + 2)
    truncated = [_Truncated(loss, domain.t_min(), domain.t_max()) for loss, _ in losses]
    counts = [count for _, count in losses]
    composed = Heterogeneous([CellCentred().discretise(one, domain) for one in truncated]).compute_composition(counts)
    # Each transform errs by about machine precision * log2(cells) in L2 (Parseval); a power multiplies that by its
    # count, and sqrt(cells) turns L2 into the L1 norm that bounds a change of delta.
    cells = len(composed.pmf)
    precision = float(np.finfo(composed.pmf.dtype).eps)
    return composed, precision * math.log2(cells) * math.sqrt(cells) * (sum(counts) + len(counts))


def _epsilon(grid: _Grid, losses: list[tuple[PrivacyLoss, int]] | None, delta: float) -> Bound | None:
    """None where the package fails or rounding would dominate."""
    if losses is None:
        return None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            composed, rounding = _composed(grid, losses)
            if rounding > delta / 4:
                return None
            ends = composed.compute_epsilon(delta, grid.delta_error + rounding, grid.epsilon_error)
    except _FAILURES:
        return None
    return _ordered(*ends, at_most=math.inf)


def _delta(grid: _Grid, losses: list[tuple[PrivacyLoss, int]] | None, epsilon: float) -> Bound | None:
    """None where the package fails."""
    if losses is None:
        return None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            composed, rounding = _composed(grid, losses)
            slack, shift = grid.delta_error + rounding, grid.epsilon_error
            if epsilon - shift > composed.domain.t_max():
                return None
            lower, estimate, upper = (composed.compute_delta_estimate(epsilon + by) for by in (shift, 0.0, -shift))
    except _FAILURES:
        return None
    return _ordered(lower - slack, estimate, upper + slack, at_most=1.0)


def _ordered(lower: float, estimate: float, upper: float, *, at_most: float) -> Bound | None:
    if not all(map(math.isfinite, (lower, estimate, upper))) or not lower <= estimate <= upper:
        return None
    return Bound(*(min(at_most, max(0.0, end)) for end in (lower, estimate, upper)), kind="bound")


def _largest(bounds: list[Bound | None], proved: float) -> Bound:
    """The worse direction, capped by what rdp proves; rdp alone when a direction has no answer."""
    found = [bound for bound in bounds if bound is not None]
    if len(found) < len(bounds):
        return _within(0.0, proved, proved, proved)
    return _within(*(max(getattr(bound, end) for bound in found) for end in ("lower", "estimate", "upper")), proved)


def _within(lower: float, estimate: float, upper: float, proved: float) -> Bound:
    return Bound(min(lower, proved), min(estimate, proved), min(upper, proved), "bound")
