"""What was done to the private records: a frozen tree that a second accountant could price from these docstrings alone.

Constitution: an event is never removed and never changes meaning; a new meaning is a new class; new fields only with
defaults. An event ships together with an accountant that prices it and a mechanism that causes it.

Convention: a *noise multiplier* is the size of the noise divided by what one record can contribute (the
add-or-remove-one sensitivity): deviation over L2 norm for `Gaussian`, scale over L1 norm for `Laplace`. Under
replace-one an accountant therefore prices them at twice that distance, because one record can leave and another one
join. Events that state the distance of two neighbours themselves (`DiscreteGaussian.touched`,
`AggregatePosterior.separation`, `EpsilonDelta`) are never doubled.

A *pair* is two laws of the output, such that no two neighbouring data sets are easier to tell apart than they are: for
every epsilon, its hockey-stick divergence is at least theirs. Pairs of composed events are products.

JSON: `{"type": "Gaussian", "noise_multiplier": 1.0}`; the other fields are those of the dataclasses.
"""

from __future__ import annotations

from dpgen.events.base import DpEvent
from dpgen.events.noise import DiscreteGaussian, EpsilonDelta, Gaussian, Laplace
from dpgen.events.sampling import AggregatePosterior, OnShards, PoissonSampled, SampledWithoutReplacement
from dpgen.events.structure import Composed, NonPrivate, NoOp, SelfComposed, Unsupported

__all__ = [
    "AggregatePosterior",
    "Composed",
    "DiscreteGaussian",
    "DpEvent",
    "EpsilonDelta",
    "Gaussian",
    "Laplace",
    "NoOp",
    "NonPrivate",
    "OnShards",
    "PoissonSampled",
    "SampledWithoutReplacement",
    "SelfComposed",
    "Unsupported",
]
