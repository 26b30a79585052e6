"""A fast estimate by a contour integral: for searching, and for checking the accountants that prove their numbers.

Read in this order: `contour_laws` (which losses), `contour_transform` (their moments), `contour_line` (which line, how
finely), `contour_integral` (the integral and its root in epsilon), `contour_once` (one release, closed form),
`contour_question` (both directions, the larger one).
"""

from __future__ import annotations

import math
from typing import ClassVar, final

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.contour.integral import Unsettled
from dpgen.accountants.contour.laws import (
    DiscreteGaussianLaw,
    LaplaceLaw,
    LossLaw,
    OpposedGaussianLaw,
    RandomisedResponseLaw,
    ReplacedGaussianLaw,
    SampledGaussianLaw,
    TooManyNodes,
)
from dpgen.accountants.contour.question import DeltaAt, EpsilonAt, Question
from dpgen.accountants.contour.transform import LossTransform
from dpgen.accountants.flatten import Leaves, gaussian_mu, require_supported, supported
from dpgen.budget import REPLACE_ONE, BoundKind, NeighboringRelation
from dpgen.errors import UnsupportedEvent
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    NonPrivate,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)

_ALTERNATIVES = ("pld", "prv", "rdp")


@final
class ContourAccountant(Accountant):
    """Nine digits in milliseconds, none of them certified; the cost does not depend on the number of steps.

    delta(epsilon) = (1 / pi) Int_0^inf Re[exp(K(z) - z epsilon) / (z (z + 1))] dt, z = theta + i t, with K the summed
    logarithm of the moment-generating function of the loss. Plain Gaussians alone and single releases have closed
    forms. The larger of the two directions of add-or-remove-one counts.

    Every integral is taken on two lines theta that must agree within 1e-7, and on each the value must stand still when
    the line is cut off twice as far out; otherwise the event is refused. Still no proof: its bounds are `lower` 0,
    `upper` infinity (delta: 1), and it never enforces a budget. Not adaptive.
    """

    name: ClassVar[str] = "contour"
    kind: ClassVar[BoundKind] = "approximation"
    cites: ClassVar[tuple[str, ...]] = (
        "Zhu, Dong, Wang: Optimal Accounting of Differential Privacy via Characteristic Function. AISTATS 2022. "
        "arXiv 2106.08567",
    )

    @property
    def adaptive(self) -> bool:
        """Never."""
        return False

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`. It tells the kinds of event; `epsilon` says which of those it refuses as well."""
        return supported(event, relation, _refusal)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; only `estimate` says anything.

        Raises: `UnsupportedEvent` also where the integral cannot vouch for itself: several releases with atoms
            (discrete noise, Laplace) and little else to smooth them, or losses beyond float64.
        """
        validate.open_unit(delta=delta)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation, _refusal)
        revealed = _revealed(leaves)
        if revealed >= delta:
            estimate = math.inf
        else:
            estimate = self._answer(EpsilonAt((delta - revealed) / (1 - revealed)), leaves, relation)
        return Bound(lower=0.0, estimate=estimate, upper=math.inf, kind=self.kind)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; only `estimate` says anything. Raises: as `epsilon` does."""
        validate.not_negative(epsilon=epsilon)
        relation = NeighboringRelation(relation)
        leaves = require_supported(event, self, relation, _refusal)
        revealed = _revealed(leaves)
        estimate = revealed
        if revealed < 1:
            estimate += (1 - revealed) * self._answer(DeltaAt(epsilon), leaves, relation)
        return Bound(lower=0.0, estimate=min(1.0, estimate), upper=1.0, kind=self.kind)

    def _answer(self, question: Question, leaves: Leaves, relation: NeighboringRelation) -> float:
        directions = [_transform(leaves, relation, removing=removing) for removing in _directions(leaves, relation)]
        first = directions[0]
        if not first.laws:
            return question.of_gaussian(math.sqrt(first.squared_mu))
        if first.squared_mu == 0 and len(first.laws) == 1 and first.laws[0][1] == 1:
            exact = question.of_one(first.laws[0][0])
            if exact is not None:
                return exact
        try:
            return question.of_directions(directions)
        except Unsettled as cause:
            reason = str(cause)
        except TooManyNodes:
            reason = "its loss needs more nodes than a fast estimate may take"
        whole = Composed(tuple(leaf if count == 1 else SelfComposed(leaf, count) for leaf, count in leaves.items()))
        raise UnsupportedEvent(whole, accountant=self.name, reason=reason, alternatives=_ALTERNATIVES)


def _refusal(leaf: DpEvent, relation: NeighboringRelation) -> str | None:
    match leaf:
        case NonPrivate() | Gaussian() | DiscreteGaussian() | Laplace() | EpsilonDelta() | AggregatePosterior():
            return None
        case PoissonSampled(event=Gaussian()):
            return None
        case OnShards(event=PoissonSampled() | SampledWithoutReplacement() as inner):
            return _refusal(inner, REPLACE_ONE)
        case SampledWithoutReplacement(event=Gaussian()):
            fixed = "a sample of fixed size reveals the number of records: it is priced under replace_one"
            return None if relation is REPLACE_ONE else fixed
        case PoissonSampled() | SampledWithoutReplacement():
            return "of sampled events only those of plain Gaussians are estimated"
    return f"no formula for {type(leaf).__name__}"


def _revealed(leaves: Leaves) -> float:
    """The probability that something only one of two neighbours can give comes out: an infinite loss."""
    if NonPrivate() in leaves:
        return 1.0
    deltas = [(leaf.delta, count) for leaf, count in leaves.items() if isinstance(leaf, EpsilonDelta)]
    return -math.expm1(sum(count * math.log1p(-delta) for delta, count in deltas))


def _directions(leaves: Leaves, relation: NeighboringRelation) -> tuple[bool, ...]:
    """Removing and adding a record, or removing alone where the pairs are symmetric."""
    one_sided = any(isinstance(leaf, PoissonSampled | AggregatePosterior) for leaf in leaves)
    return (True, False) if one_sided and relation is not REPLACE_ONE else (True,)


def _transform(leaves: Leaves, relation: NeighboringRelation, *, removing: bool) -> LossTransform:
    mus = [gaussian_mu(leaf, relation) for leaf in leaves if isinstance(leaf, Gaussian)]  # flatten leaves one
    laws = [(_law(leaf, relation, removing), count) for leaf, count in leaves.items()]
    return LossTransform([(law, count) for law, count in laws if law is not None], sum(mu * mu for mu in mus))


def _law(leaf: DpEvent, relation: NeighboringRelation, removing: bool) -> LossLaw | None:
    """The pair of the event's docstring; None for what has no finite loss to add."""
    replacing = relation is REPLACE_ONE
    match leaf:
        case OnShards(event=inner):
            return _law(inner, REPLACE_ONE, removing)
        case PoissonSampled(probability=probability, event=Gaussian(noise_multiplier=noise_multiplier)):
            if replacing:
                return OpposedGaussianLaw(probability, noise_multiplier)
            return SampledGaussianLaw(probability, noise_multiplier, removing=removing)
        case SampledWithoutReplacement(records=n, sample=sample, event=Gaussian(noise_multiplier=noise_multiplier)):
            return ReplacedGaussianLaw(sample / n, noise_multiplier / 2)
        case AggregatePosterior(records=n, separation=separation):
            if replacing:
                return ReplacedGaussianLaw(1 / n, 1 / separation)
            return SampledGaussianLaw(1 / (n + 1), 1 / separation, removing=removing)
        case DiscreteGaussian(scale=scale):
            return DiscreteGaussianLaw(scale)
        case Laplace(noise_multiplier=scale):
            return LaplaceLaw(scale / 2 if replacing else scale)
        case EpsilonDelta(epsilon=epsilon) if epsilon > 0:
            return RandomisedResponseLaw(epsilon)
    return None
