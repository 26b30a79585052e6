"""The certified accountant: a lower and an upper bound on epsilon and delta, rounding included."""

from __future__ import annotations

from typing import ClassVar, final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.flatten import Leaves, gaussian_mu, require_supported, supported
from dpgen.accountants.pld.crossing import Enclosure
from dpgen.accountants.pld.leaves import is_symmetric, pair_of, refusal, too_large
from dpgen.accountants.pld.question import DeltaAt, EpsilonAt, Question
from dpgen.accountants.pld.solve import Limits
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import BoundKind, NeighboringRelation
from dpgen.errors import ToleranceNotMet
from dpgen.events import DpEvent, Gaussian, NonPrivate

_WITHOUT_TOLERANCE = 1e-3  # width of epsilon that is aimed at, as a share where losses are smaller than 1
_CELLS_WITHOUT_TOLERANCE = 1 << 20
_MOST_CELLS = 1 << 23
_ROUGH = 30.0  # times the tolerance
_POOR = 0.05  # an enclosure wider than this, absolutely and relatively, is compared with what rdp proves
_PARAMETER_ROUNDING = 1e-12  # relative: merged noise multipliers and multiplied probabilities are rounded to float64
_ABSOLUTE_ROUNDING = 1e-15
_RDP_ROUNDING = 1e-9  # relative: the sums behind a Renyi bound have positive terms only and err by some 1e-12


@final
class PldAccountant(Accountant):
    """Certified bounds by composing privacy-loss distributions: `lower <= truth <= upper`, rounding included.

    Each release is replaced by a law on a grid that dominates it and by one that it dominates; both are composed by one
    Fourier transform of tilted masses, and every error (discretisation, cut tails, wrap-around, rounding) is counted
    against the result: docs/explanation/accounting.md derives them. Both directions of add-or-remove-one are composed,
    each as its own product, and the larger one counts. Plain Gaussians and single releases are priced without a grid.
    Not adaptive: all settings are fixed before the first release.

    Where no grid of allowed size can answer, `upper` is what `rdp` proves, `lower` is 0 and the kind is "bound".

    Args:
        tolerance: largest width upper - lower of an epsilon (> 0), honoured or refused; a delta is enclosed as narrowly
            as that width is worth. None: 1e-3, or a thousandth of losses below 1, where about a million cells suffice,
            else as narrow as they allow.
        closed_form: price plain Gaussians alone by the formula that `gdp` evaluates, to 1e-12. False: by an integral,
            like any single release, to some 1e-9: a check that owes nothing to that formula.

    Raises: `InvalidValue` for a tolerance that is not > 0. Its questions raise `ToleranceNotMet` besides what
        `Accountant` says, when a tolerance was given and no grid of at most eight million cells meets it.
    """

    name: ClassVar[str] = "pld"
    kind: ClassVar[BoundKind] = "certified"
    cites: ClassVar[tuple[str, ...]] = (
        "Zhu, Dong, Wang: Optimal Accounting of Differential Privacy via Characteristic Function. AISTATS 2022. "
        "arXiv 2106.08567",
        "Doroshenko, Ghazi, Kamath, Kumar, Manurangsi: Connect the Dots: Tighter Discrete Approximations of "
        "Privacy Loss Distributions. PETS 2022. arXiv 2207.04380",
    )

    def __init__(self, tolerance: float | None = None, *, closed_form: bool = True) -> None:
        if tolerance is not None:
            validate.positive(tolerance=tolerance)
        self.tolerance = tolerance
        self.closed_form = closed_form

    @property
    def adaptive(self) -> bool:
        """Never."""
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`."""
        return supported(event, relation, refusal)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; `upper` is what enforces."""
        validate.open_unit(delta=delta)
        return self._answer(EpsilonAt(delta), event, NeighboringRelation(relation))

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; `upper` is what enforces."""
        validate.not_negative(epsilon=epsilon)
        return self._answer(DeltaAt(epsilon), event, NeighboringRelation(relation))

    def _answer(self, question: Question, event: DpEvent, relation: NeighboringRelation) -> Bound:
        leaves = require_supported(event, self, relation, refusal)
        if not leaves:
            return Bound(0.0, 0.0, 0.0, self.kind)
        if NonPrivate() in leaves:
            return Bound(question.largest, question.largest, question.largest, self.kind)
        if self._lone_gaussian(leaves) is None and any(map(too_large, leaves)):
            return self._proved(question, event, relation)
        lower, upper = self._enclose(question, leaves, relation)
        lower *= 1 - _PARAMETER_ROUNDING
        if upper > 0:
            upper = min(upper * (1 + _PARAMETER_ROUNDING) + _ABSOLUTE_ROUNDING, question.largest)
        if self.tolerance is not None and question.width(lower, upper) > self.tolerance:
            raise ToleranceNotMet(self.tolerance, question.width(lower, upper))
        if self.tolerance is None and upper - lower > _POOR * max(1.0, lower):
            proved = self._proved(question, event, relation)
            if proved.upper < upper:
                return Bound(lower, min(max(lower, proved.estimate), proved.upper), proved.upper, "bound")
        return Bound(lower, question.between(lower, upper, self.tolerance or _WITHOUT_TOLERANCE), upper, self.kind)

    def _enclose(self, question: Question, leaves: Leaves, relation: NeighboringRelation) -> Enclosure:
        """The larger of the two directions, each enclosed; one is enough when all pairs are symmetric."""
        if (leaf := self._lone_gaussian(leaves)) is not None:
            bound = question.of_gaussian(gaussian_mu(leaf, relation))
            return bound.lower, bound.upper
        lower, upper = self._one_direction(question, leaves, relation, removing=True, rival=None)
        if all(is_symmetric(leaf, relation) for leaf in leaves):
            return lower, upper
        other = self._one_direction(question, leaves, relation, removing=False, rival=lower)
        return max(lower, other[0]), max(upper, other[1])

    def _one_direction(
        self, question: Question, leaves: Leaves, relation: NeighboringRelation, *, removing: bool, rival: float | None
    ) -> Enclosure:
        pairs = [(pair_of(leaf, relation, removing=removing), count) for leaf, count in leaves.items()]
        if list(leaves.values()) == [1]:
            return question.of_single(pairs[0][0])
        relative = self.tolerance is None
        tolerance, cells = (
            (_WITHOUT_TOLERANCE, _CELLS_WITHOUT_TOLERANCE) if self.tolerance is None else (self.tolerance, _MOST_CELLS)
        )
        if rival is not None:  # adding a record is mostly cheaper by far: a rough look from above is enough to tell
            rough = question.of_composition(pairs, Limits(_ROUGH * tolerance, cells // 8, relative, upper_only=True))
            if rough[1] <= rival:
                return rough[:2]
        lower, upper, width = question.of_composition(pairs, Limits(tolerance, cells, relative))
        if self.tolerance is not None and width > tolerance and (rival is None or upper > rival):
            raise ToleranceNotMet(tolerance, width)
        return lower, upper

    def _proved(self, question: Question, event: DpEvent, relation: NeighboringRelation) -> Bound:
        """What Renyi bounds say, where there are any."""
        if not RdpAccountant().supports(event, relation=relation):
            return Bound(0.0, question.largest, question.largest, "bound")
        upper = min(question.proved_by_rdp(event, relation) * (1 + _RDP_ROUNDING), question.largest)
        if self.tolerance is not None and upper > self.tolerance:
            raise ToleranceNotMet(self.tolerance, upper)
        return Bound(0.0, upper, upper, "bound")

    def _lone_gaussian(self, leaves: Leaves) -> Gaussian | None:
        """The one plain Gaussian that everything has been merged into, if that is all and has its closed form."""
        leaf = next(iter(leaves))
        return leaf if self.closed_form and len(leaves) == 1 and isinstance(leaf, Gaussian) else None
