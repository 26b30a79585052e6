"""Which dominating pair belongs to which event. The events' docstrings say the same in words."""

from __future__ import annotations

from dpgen.accountants.pld.opposite import OppositeGaussianPair, OppositeLaplacePair
from dpgen.accountants.pld.pair import Pair, SampledPair
from dpgen.accountants.pld.replaced import ReplacedPair
from dpgen.accountants.pld.shift import (
    GaussianShift,
    LaplaceShift,
    Shift,
    discrete_gaussian_shift,
    randomised_response,
)
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

_LEAST_NOISE = 1 / 300  # of a Gaussian on a grid: its losses reach 45,000 and more
_LARGEST_SCALE = 2e4  # of discrete noise, whose atoms are listed one by one: 1.5 million
_LARGEST_JOINT_SCALE = 500.0  # scale * touched of a joint release, whose law is a direct convolution


def refusal(leaf: DpEvent, relation: NeighboringRelation) -> str | None:
    """Why pld has no pair for a flattened leaf; None when it has one."""
    match leaf:
        case NonPrivate() | Gaussian() | Laplace() | DiscreteGaussian() | EpsilonDelta() | AggregatePosterior():
            return None
        case OnShards(event=inner):
            return refusal(inner, REPLACE_ONE)
        case PoissonSampled(event=EpsilonDelta()) if relation is REPLACE_ONE:
            return "proved for replace_one, it says nothing about a sample with and without the record"
        case SampledWithoutReplacement() if relation is ADD_OR_REMOVE_ONE:
            return "a sample of fixed size has a public number of records: state the budget for replace_one"
        case PoissonSampled(event=inner) | SampledWithoutReplacement(event=inner):
            if isinstance(inner, NonPrivate | Gaussian | Laplace | DiscreteGaussian | EpsilonDelta):
                return None
            return "of sampled events only single Gaussian, Laplace, discrete Gaussian and EpsilonDelta ones are priced"
    return f"no dominating pair for {type(leaf).__name__}"


def is_symmetric(leaf: DpEvent, relation: NeighboringRelation) -> bool:
    """Is the pair (P, Q) as good as (Q, P)? Otherwise both directions must be priced."""
    return relation is REPLACE_ONE or not isinstance(leaf, PoissonSampled | AggregatePosterior)


def too_large(leaf: DpEvent) -> bool:
    """Would the pair need more memory or time than it is worth?"""
    match leaf:
        case OnShards(event=inner):
            return too_large(inner)
        case Gaussian(noise_multiplier=noise) | PoissonSampled(event=Gaussian(noise_multiplier=noise)):
            return noise < _LEAST_NOISE
        case AggregatePosterior(separation=separation):
            return separation > 1 / _LEAST_NOISE
        case DiscreteGaussian(scale=scale):
            return scale > _LARGEST_SCALE
        case PoissonSampled(event=DiscreteGaussian(scale=scale, touched=touched)):
            return scale * touched > _LARGEST_JOINT_SCALE
        case SampledWithoutReplacement(event=DiscreteGaussian(scale=scale, touched=touched)):
            return scale * touched > _LARGEST_JOINT_SCALE
    return False


def pair_of(leaf: DpEvent, relation: NeighboringRelation, *, removing: bool) -> Pair:
    """The dominating pair of a flattened leaf; `removing` or adding a record where the two differ."""
    match leaf:
        case OnShards(event=inner):
            return pair_of(inner, REPLACE_ONE, removing=removing)
        case AggregatePosterior(records=n, separation=separation):
            if relation is REPLACE_ONE:
                return ReplacedPair(GaussianShift(separation), 1 / n)
            return SampledPair(GaussianShift(separation), 1 / (n + 1), removing=removing)
        case PoissonSampled(probability=q, event=Gaussian(noise_multiplier=noise)) if relation is REPLACE_ONE:
            return OppositeGaussianPair(1 / noise, q)
        case PoissonSampled(probability=q, event=Laplace(noise_multiplier=noise)) if relation is REPLACE_ONE:
            return OppositeLaplacePair(noise, q)
        case PoissonSampled(probability=q, event=inner) if relation is REPLACE_ONE:
            # an upper bound, as no record is further from none than from another one; reached: against none
            reached = SampledPair(_shift(inner, ADD_OR_REMOVE_ONE), q, removing=True)
            return ReplacedPair(_shift(inner, relation), q, reached=reached)
        case PoissonSampled(probability=q, event=inner):
            return SampledPair(_shift(inner, relation), q, removing=removing)
        case SampledWithoutReplacement(records=n, sample=m, event=inner):
            return ReplacedPair(_shift(inner, relation), m / n)
    return SampledPair(_shift(leaf, relation), 1.0, removing=True)


def _shift(event: DpEvent, relation: NeighboringRelation) -> Shift:
    distance = 2.0 if relation is REPLACE_ONE else 1.0
    match event:
        case Gaussian(noise_multiplier=noise):
            return GaussianShift(distance / noise)
        case Laplace(noise_multiplier=noise):
            return LaplaceShift(noise / distance)
        case DiscreteGaussian(scale=scale, touched=touched):
            return discrete_gaussian_shift(scale, touched)
        case EpsilonDelta(epsilon=epsilon, delta=delta):
            return randomised_response(epsilon, delta)
        case NonPrivate():
            return randomised_response(0.0, 1.0)
    raise AssertionError(f"no noise law for {event}; `refusal` should have said so")
