"""Tight numerical composition by the prv-accountant package; the upper end of its interval is what enforces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.flatten import Leaves, gaussian_mu, require_supported, supported
from dpgen.accountants.gdp import GdpAccountant
from dpgen.accountants.prv.grid import CountedLosses, Grid, Interval, delta_interval, epsilon_interval
from dpgen.accountants.prv.privacy_loss import DiscreteGaussianLoss, GaussianLoss, PrivacyLoss, SampledGaussianLoss
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import REPLACE_ONE, BoundKind, NeighboringRelation
from dpgen.errors import UnsupportedEvent
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, NonPrivate, PoissonSampled, SelfComposed

_LARGEST_EPSILON = (
    100.0  # beyond it e^epsilon eats the precision of the sums, and no guarantee is worth the third digit
)
_SMALLEST_DELTA = 1e-20  # below it the rounding of the transforms exceeds delta, however few the cells
_LARGEST_SCALE = 1e4  # of discrete noise, whose atoms are listed one by one


@final
class PrvAccountant(Accountant):
    """Tight bounds by composing privacy-loss distributions on a grid (Gopi, Lee, Wutschitz 2021, arXiv 2106.02848).

    Supports `Gaussian`, `DiscreteGaussian`, `PoissonSampled` Gaussians under add-or-remove-one, and their compositions;
    `upper` is never above that of `rdp`. Where the grid cannot answer (epsilon above 100, a delta so small that
    rounding would dominate, a failure of the package) the answer is the interval that `rdp` proves. Plain Gaussians
    alone are priced exactly. Not adaptive: all settings are fixed before the first release.

    The package covers one direction only, the record removed. Here both are composed, each as its own product, and
    the larger one counts.

    Its kind is `bound`, not `certified`: theorem 5.5 of the paper holds in exact arithmetic. The rounding of the
    transforms is added to its errors by an estimate (`grid`), and an answer in which it would weigh is replaced by
    that of `rdp`; the rounding of the cell masses is not counted. There are a million cells at most: a million steps at
    a tiny rate get a wide interval, or that of `rdp`, whose lower end is 0.

    Args:
        epsilon_error: half the width of the interval, in epsilon (> 0). A composition too large for the grid gets a
            wider interval, never a guess.

    Raises: `InvalidValue` for an epsilon_error that is not > 0.
    """

    name: ClassVar[str] = "prv"
    kind: ClassVar[BoundKind] = "bound"
    cites: ClassVar[tuple[str, ...]] = (
        "Gopi, Lee, Wutschitz: Numerical Composition of Differential Privacy. NeurIPS 2021. arXiv 2106.02848",
    )

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
        return supported(event, relation, prv_refusal)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; `upper` is what enforces."""
        validate.open_unit(delta=delta)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation, prv_refusal)
        if all(isinstance(leaf, Gaussian) for leaf in leaves):
            return GdpAccountant().epsilon(event, delta=delta, relation=relation)
        proved = self._rdp.epsilon(event, delta=delta, relation=relation)
        if delta < _SMALLEST_DELTA or not self.epsilon_error < proved.upper <= _LARGEST_EPSILON:
            return proved  # too large for the grid, or so small that an interval this wide could not improve on it
        ask = partial(epsilon_interval, delta=delta)
        return _worst(self._both_directions(leaves, delta, relation, ask), proved)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; `upper` is what enforces."""
        validate.not_negative(epsilon=epsilon)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation, prv_refusal)
        if all(isinstance(leaf, Gaussian) for leaf in leaves):
            return GdpAccountant().delta(event, epsilon=epsilon, relation=relation)
        proved = self._rdp.delta(event, epsilon=epsilon, relation=relation)
        if epsilon > _LARGEST_EPSILON or not _SMALLEST_DELTA <= proved.upper < 1:
            return proved
        ask = partial(delta_interval, epsilon=epsilon)
        return _worst(self._both_directions(leaves, proved.upper, relation, ask), proved)

    def _both_directions(
        self,
        leaves: Leaves,
        delta: float,
        relation: NeighboringRelation,
        ask: Callable[[Grid, CountedLosses], Interval | None],
    ) -> list[Interval | None]:
        """The answer for each direction; one is enough when every pair is symmetric."""
        if any(isinstance(leaf, DiscreteGaussian) and leaf.scale > _LARGEST_SCALE for leaf in leaves):
            return [None]
        grid = Grid.fit(
            lambda delta_error: self._reach(leaves, delta_error, relation),
            delta=delta,
            total=sum(leaves.values()),
            distinct=len(leaves),
            epsilon_error=self.epsilon_error,
        )
        if grid is None:
            return [None]
        directions = (True, False) if any(isinstance(leaf, PoissonSampled) for leaf in leaves) else (True,)
        return [
            ask(grid, [(_loss(leaf, relation, removing=removing), count) for leaf, count in leaves.items()])
            for removing in directions
        ]

    def _reach(self, leaves: Leaves, delta_error: float, relation: NeighboringRelation) -> float:
        """Half the width that holds all but `delta_error` of the loss: remark 5.6, by our rdp, in both directions."""
        whole = Composed(tuple(SelfComposed(leaf, count) for leaf, count in leaves.items()))
        reach = self._rdp.epsilon(whole, delta=delta_error / 4, relation=relation).upper
        share = delta_error / 8 / sum(leaves.values())
        return 3 + max(reach, *(self._rdp.epsilon(leaf, delta=share, relation=relation).upper for leaf in leaves))


def prv_refusal(leaf: DpEvent, relation: NeighboringRelation) -> str | None:
    """A `Refusal`: why a flattened leaf has no privacy-loss distribution here. What it takes, rdp takes as well."""
    match leaf:
        case NonPrivate() | Gaussian() | DiscreteGaussian() | PoissonSampled(event=NonPrivate()):
            return None
        case PoissonSampled(event=Gaussian()):
            return "under replace_one rdp has an upper bound, and pld the price" if relation is REPLACE_ONE else None
        case PoissonSampled():
            return "of Poisson-sampled events only those of plain Gaussians are priced"
    return f"no privacy-loss distribution for {type(leaf).__name__} here; pld has one for every event"


def _loss(leaf: DpEvent, relation: NeighboringRelation, *, removing: bool) -> PrivacyLoss:
    match leaf:
        case Gaussian():
            return GaussianLoss(gaussian_mu(leaf, relation))
        case DiscreteGaussian(scale=scale, touched=1):
            return DiscreteGaussianLoss(scale)
        case PoissonSampled(probability=probability, event=Gaussian(noise_multiplier=noise_multiplier)):
            return SampledGaussianLoss(probability, noise_multiplier, removing=removing)
    raise UnsupportedEvent(leaf, accountant=PrvAccountant.name, reason="it has no privacy-loss distribution here")


def _worst(found: list[Interval | None], proved: Bound) -> Bound:
    """The larger direction, capped by what rdp proved; rdp's own bound when one direction has no answer."""
    intervals = [interval for interval in found if interval is not None]
    if len(intervals) < len(found):
        return proved
    # the truth is at least 0 and at most what rdp proved, so every end may be moved there
    lower, estimate, upper = (min(max(0.0, *ends), proved.upper) for ends in zip(*intervals, strict=True))
    return Bound(lower, estimate, upper, "bound")
