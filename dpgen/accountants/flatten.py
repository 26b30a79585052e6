"""One normal form of event trees, shared by all accountants: which leaf events happened, and how often.

Every step is exact (the flattened event has the same trade-off curve), so order and nesting cannot change a price.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from dpgen.accountants.base import Accountant
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.errors import UnsupportedEvent
from dpgen.events import (
    Composed,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    NonPrivate,
    NoOp,
    PoissonSampled,
    SelfComposed,
)

Leaves = Mapping[DpEvent, int]
"""Leaf event -> how often, in an order that depends on the leaves alone. Empty: nothing was learnt."""


def flatten(event: DpEvent) -> Leaves:
    """The leaves of `event` with their counts.

    - All plain Gaussians become one: mu = 1 / noise_multiplier adds in squares (Dong, Roth, Su 2022, corollary 3.3).
    - A discrete Gaussian that touches k cells becomes k that touch one cell: its cells have independent noise.
    - Poisson samples of Poisson samples multiply their probabilities; probability 0 is nothing, 1 is no sampling.
    - Noise of size 0 is `NonPrivate`.
    """
    counts = _merge_gaussians(_leaves(event))
    return dict(sorted(counts.items(), key=lambda item: repr(item[0])))


def _leaves(event: DpEvent) -> Counter[DpEvent]:
    match event:
        case NoOp() | SelfComposed(count=0) | DiscreteGaussian(touched=0) | PoissonSampled(probability=0):
            return Counter()
        case Gaussian(noise_multiplier=0):
            return Counter({NonPrivate(): 1})
        case DiscreteGaussian(scale=scale, touched=touched):
            return Counter({DiscreteGaussian(scale, 1): touched})
        case SelfComposed(event=inner, count=count):
            return Counter({leaf: count * times for leaf, times in _leaves(inner).items()})
        case Composed(events=events):
            return sum((_leaves(inner) for inner in events), Counter())
        case PoissonSampled(probability=1, event=inner):
            return _leaves(inner)
        case PoissonSampled(probability=probability, event=inner):
            return _sampled(probability, flatten(inner))
    return Counter({event: 1})


def _sampled(probability: float, inner: Leaves) -> Counter[DpEvent]:
    """One Poisson sample on which all of `inner` runs."""
    if not inner:
        return Counter()
    if list(inner.values()) == [1]:
        (leaf,) = inner
        if isinstance(leaf, PoissonSampled):
            return Counter({PoissonSampled(probability * leaf.probability, leaf.event): 1})
        return Counter({PoissonSampled(probability, leaf): 1})
    return Counter({PoissonSampled(probability, Composed(tuple(SelfComposed(*item) for item in inner.items()))): 1})


def _merge_gaussians(counts: Counter[DpEvent]) -> dict[DpEvent, int]:
    merged = {leaf: times for leaf, times in counts.items() if not isinstance(leaf, Gaussian)}
    gaussians = {leaf: times for leaf, times in counts.items() if isinstance(leaf, Gaussian)}
    if list(gaussians.values()) == [1]:
        return merged | dict(gaussians)
    # sorted, so that the rounding of the sum does not depend on the order of the charges
    mu = math.hypot(*sorted(math.sqrt(times) / leaf.noise_multiplier for leaf, times in gaussians.items()))
    if math.isinf(mu):
        return merged | {NonPrivate(): 1}
    return merged | ({Gaussian(1 / mu): 1} if gaussians else {})


def gaussian_mu(leaf: Gaussian, relation: NeighboringRelation) -> float:
    """Distance of the two neighbouring means in standard deviations; replace-one may move a sum by twice as much."""
    distance = 2.0 if relation is REPLACE_ONE else 1.0
    return distance / leaf.noise_multiplier


def refusal(leaf: DpEvent, relation: NeighboringRelation) -> str | None:
    """Why the sampling accountants (rdp, prv) have no proved price for a flattened leaf; None when they have one."""
    match leaf:
        case NonPrivate() | Gaussian() | DiscreteGaussian() | PoissonSampled(event=NonPrivate()):
            return None
        case PoissonSampled(event=Gaussian()) if relation is REPLACE_ONE:
            return (
                "Poisson sampling is proved here for add_or_remove_one only; state the budget for that relation: "
                "(epsilon, delta) there is (2 epsilon, (1 + e^epsilon) delta) under replace_one"
            )
        case PoissonSampled(event=Gaussian()):
            return None
        case PoissonSampled():
            return "of Poisson-sampled events only those of plain Gaussians are priced"
    return f"no formula for {type(leaf).__name__}"


def require_supported(event: DpEvent, accountant: Accountant, relation: NeighboringRelation) -> Leaves:
    """The leaves of `event`. Raises `UnsupportedEvent` naming the first leaf that rdp and prv cannot price."""
    leaves = flatten(event)
    for leaf in leaves:
        reason = refusal(leaf, relation)
        if reason is not None:
            raise UnsupportedEvent(leaf, accountant=accountant.name, reason=reason)
    return leaves
