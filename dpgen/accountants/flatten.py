"""One normal form of event trees, shared by all accountants: which leaf events happened, and how often.

Every step is exact (the flattened event has the same trade-off curve), so order and nesting cannot change a price.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from dpgen.accountants.base import Accountant
from dpgen.budget import REPLACE_ONE, NeighboringRelation
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
    NoOp,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)

Leaves = Mapping[DpEvent, int]
"""Leaf event -> how often, in an order that depends on the leaves alone. Empty: nothing was learnt."""


def flatten(event: DpEvent) -> Leaves:
    """The leaves of `event` with their counts.

    - All plain Gaussians become one: mu = 1 / noise_multiplier adds in squares (Dong, Roth, Su 2022, corollary 3.3).
    - A discrete Gaussian that touches k cells becomes k that touch one cell: its cells have independent noise.
      What runs on one sample is one joint leaf, though: there the k cells stay together.
    - Poisson samples of Poisson samples multiply their probabilities; probability 0 is nothing, 1 is no sampling.
    - A sample without replacement of all records is no sampling, of none is nothing.
    - What ran on shards is taken apart into its leaves, each on shards; shards of shards are shards.
    - An aggregate posterior of m draws becomes m of one draw.
    - Noise of size 0 is `NonPrivate`; a distance of 0 or a proved cost of 0 is nothing.
    """
    counts = _merge_gaussians(_leaves(event))
    return dict(sorted(counts.items(), key=lambda item: repr(item[0])))


def _leaves(event: DpEvent) -> Counter[DpEvent]:
    match event:
        case SelfComposed(event=inner, count=count) if count > 0:
            return Counter({leaf: count * times for leaf, times in _leaves(inner).items()})
        case Composed(events=events):
            return _together(map(_leaves, events))
        case PoissonSampled(probability=probability, event=inner):
            return _poisson_sampled(probability, inner)
        case OnShards(event=inner):
            return _on_shards(inner)
        case SampledWithoutReplacement():
            return _sampled_without_replacement(event)
    return _simple_leaves(event)


def _together(parts: Iterable[Counter[DpEvent]]) -> Counter[DpEvent]:
    counts: Counter[DpEvent] = Counter()
    for part in parts:
        counts.update(part)  # a sum of counters would copy what it has so far for each part
    return counts


def _simple_leaves(event: DpEvent) -> Counter[DpEvent]:
    match event:
        case NoOp() | SelfComposed(count=0) | DiscreteGaussian(touched=0) | EpsilonDelta(epsilon=0, delta=0):
            return Counter()
        case AggregatePosterior(draws=0) | AggregatePosterior(separation=0):
            return Counter()
        case Gaussian(noise_multiplier=0) | Laplace(noise_multiplier=0):
            return Counter({NonPrivate(): 1})
        case DiscreteGaussian(scale=scale, touched=touched):
            return Counter({DiscreteGaussian(scale, 1): touched})
        case AggregatePosterior(records=records, draws=draws, separation=separation):
            return Counter({AggregatePosterior(records, 1, separation): draws})
    return Counter({event: 1})


def _poisson_sampled(probability: float, event: DpEvent) -> Counter[DpEvent]:
    if probability == 0:
        return Counter()
    if probability == 1:
        return _leaves(event)
    match _joint(event):
        case NoOp():
            return Counter()
        case PoissonSampled(probability=second, event=inner):
            return Counter({PoissonSampled(probability * second, inner): 1})
        case inner:
            return Counter({PoissonSampled(probability, inner): 1})


def _sampled_without_replacement(event: SampledWithoutReplacement) -> Counter[DpEvent]:
    if event.sample == 0:
        return Counter()
    if event.sample == event.records:
        return _leaves(event.event)
    inner = _joint(event.event)
    return Counter() if inner == NoOp() else Counter({SampledWithoutReplacement(event.records, event.sample, inner): 1})


def _on_shards(event: DpEvent) -> Counter[DpEvent]:
    """Gaussians are merged first: they would not be told apart later."""
    bare = (OnShards, NonPrivate)
    return Counter({leaf if isinstance(leaf, bare) else OnShards(leaf): n for leaf, n in flatten(event).items()})


def _joint(event: DpEvent) -> DpEvent:
    """All that runs on one sample, as one event: its plain Gaussians merged, equal discrete noise on one leaf."""
    parts: list[DpEvent] = []
    for leaf, times in flatten(event).items():
        if isinstance(leaf, DiscreteGaussian):
            parts.append(DiscreteGaussian(leaf.scale, times))
        else:
            parts.append(leaf if times == 1 else SelfComposed(leaf, times))
    if not parts:
        return NoOp()
    return parts[0] if len(parts) == 1 else Composed(tuple(parts))


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


Refusal = Callable[[DpEvent, NeighboringRelation], str | None]
"""Of one accountant: why it has no proved price for a flattened leaf; None when it has one."""


def supported(event: DpEvent, relation: NeighboringRelation, refusal: Refusal) -> bool:
    """Has every leaf of `event` a price?"""
    return all(refusal(leaf, NeighboringRelation(relation)) is None for leaf in flatten(event))


def require_supported(
    event: DpEvent, accountant: Accountant, relation: NeighboringRelation, refusal: Refusal
) -> Leaves:
    """The leaves of `event`. Raises `UnsupportedEvent` naming the first leaf that `refusal` refuses."""
    leaves = flatten(event)
    for leaf in leaves:
        reason = refusal(leaf, NeighboringRelation(relation))
        if reason is not None:
            raise UnsupportedEvent(leaf, accountant=accountant.name, reason=reason)
    return leaves
