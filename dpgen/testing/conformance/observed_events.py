"""What noise was really drawn, as the leaves of an event: to be compared with what was charged for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, NoOp, PoissonSampled, SelfComposed
from dpgen.testing.tape import NoiseCall


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """One noisy look: its law, how large its noise is, on how many cells, and how likely each record joined."""

    law: str
    noise: float
    touched: int = 0
    probability: float = 1.0

    def near(self, other: Leaf) -> bool:
        """The same, but for rounding."""
        same = (self.law, self.touched) == (other.law, other.touched)
        numbers = ((self.noise, other.noise), (self.probability, other.probability))
        return same and all(math.isclose(*pair, rel_tol=1e-6) for pair in numbers)

    def __str__(self) -> str:
        text = f"{self.law} noise {self.noise:.4g}" + (f" on {self.touched} cells" if self.touched else "")
        return text if self.probability == 1.0 else f"{text} on a Poisson sample of probability {self.probability:.4g}"


def charged(event: DpEvent, probability: float = 1.0) -> list[Leaf] | None:
    """The leaves that `event` promises, in order; None when it holds something else than (discrete) Gaussians."""
    match event:
        case NoOp():
            return []
        case Gaussian(noise_multiplier=noise):
            return [Leaf("gaussian", noise, probability=probability)]
        case DiscreteGaussian(scale=scale, touched=touched):
            return [Leaf("discrete gaussian", scale, touched, probability)]
        case PoissonSampled(probability=q, event=inner) if probability == 1.0:
            return charged(inner, q)
        case SelfComposed(event=inner, count=count):
            one = charged(inner, probability)
            return None if one is None else one * count
        case Composed(events=events):
            parts = [charged(inner, probability) for inner in events]
            return None if None in parts else [leaf for part in parts if part is not None for leaf in part]
    return None


def drawn(calls: Iterable[NoiseCall], relation: NeighboringRelation) -> list[Leaf]:
    """The leaves of recorded calls: all tensors of one (release, step) are one vector with one noise."""
    probability: dict[tuple[object, ...], float] = {}
    leaves: dict[tuple[object, ...], Leaf] = {}
    for call in calls:
        at = (call.address.path, call.address.step)
        if call.address.kind == "poisson subset":
            probability[at] = call.scale
            continue
        leaf = _leaf(call, relation, probability.get(at, 1.0))
        key = (*at, call.address.kind)
        # Two tensors of one vector with different noise: the weaker one is what protects.
        leaves[key] = min(leaf, leaves.get(key, leaf))
    return list(leaves.values())


def _leaf(call: NoiseCall, relation: NeighboringRelation, probability: float) -> Leaf:
    """A noise multiplier is deviation / add-or-remove-one sensitivity, which is half that of replace-one."""
    if call.address.kind == "discrete gaussian":
        return Leaf("discrete gaussian", call.scale, round(call.sensitivity**2), probability)
    one = call.sensitivity / (2 if relation is REPLACE_ONE else 1)
    return Leaf(call.address.kind, call.scale / one if one else math.inf, probability=probability)
