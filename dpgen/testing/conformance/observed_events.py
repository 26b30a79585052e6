"""What noise was really drawn, as the leaves of an event: to be compared with what was charged for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    NoOp,
    OnShards,
    PoissonSampled,
    SelfComposed,
)
from dpgen.testing.tape import NoiseCall


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """One noisy look: its law, how large its noise is, on how many cells, and how likely each record joined."""

    law: str
    noise: float
    touched: int = 0
    probability: float = 1.0
    records: int = 0
    """For a code of a record that was chosen among at least so many."""

    def near(self, other: Leaf) -> bool:
        """The same, but for rounding."""
        same = (self.law, self.touched, self.records) == (other.law, other.touched, other.records)
        numbers = ((self.noise, other.noise), (self.probability, other.probability))
        return same and all(math.isclose(*pair, rel_tol=1e-6) for pair in numbers)

    def __str__(self) -> str:
        text = f"{self.law} noise {self.noise:.4g}" + (f" on {self.touched} cells" if self.touched else "")
        text += f" on a choice among {self.records}" if self.records else ""
        return text if self.probability == 1.0 else f"{text} on a Poisson sample of probability {self.probability:.4g}"


def charged(
    event: DpEvent, probability: float = 1.0, *, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
) -> list[Leaf] | None:
    """The leaves that `event` promises, in order; None when it holds something else than (discrete) Gaussians.

    What ran on shards moves by twice what one shard contributes under either relation; `drawn` divides what it sees by
    that whole distance, and under replace-one by half of it. A separation is a whole distance already.
    """
    match event:
        case NoOp():
            return []
        case Gaussian(noise_multiplier=noise):
            return [Leaf("gaussian", noise, probability=probability)]
        case DiscreteGaussian(scale=scale, touched=touched):
            return [Leaf("discrete gaussian", scale, touched, probability)]
        case PoissonSampled(probability=q, event=inner) if probability == 1.0:
            return charged(inner, q, relation=relation)
        case OnShards(event=inner):
            return _on_shards(charged(inner, probability, relation=relation), relation)
        case AggregatePosterior(records=records, draws=draws, separation=separation) if separation > 0:
            return [Leaf("gaussian", 1 / separation, probability=probability, records=records)] * draws
        case SelfComposed(event=inner, count=count):
            one = charged(inner, probability, relation=relation)
            return None if one is None else one * count
        case Composed(events=events):
            parts = [charged(inner, probability, relation=relation) for inner in events]
            return None if None in parts else [leaf for part in parts if part is not None for leaf in part]
    return None


def _on_shards(leaves: list[Leaf] | None, relation: NeighboringRelation) -> list[Leaf] | None:
    if leaves is None or any(leaf.law != "gaussian" for leaf in leaves):
        return None
    if relation is REPLACE_ONE:
        return leaves
    return [leaf if leaf.records else replace(leaf, noise=leaf.noise / 2) for leaf in leaves]


def drawn(calls: Iterable[NoiseCall], relation: NeighboringRelation) -> list[Leaf]:
    """The leaves of recorded calls: all tensors of one (release, step) are one vector with one noise."""
    probability: dict[tuple[object, ...], float] = {}
    chosen: dict[object, list[NoiseCall]] = {}
    leaves: dict[tuple[object, ...], Leaf] = {}
    for call in calls:
        at = (call.address.path, call.address.step)
        if call.address.kind == "poisson subset":
            probability[at] = call.scale
            continue
        if call.address.kind == "choice":
            chosen.setdefault(call.address.path, []).append(call)
            continue
        leaf = _leaf(call, relation, probability.get(at, 1.0))
        key = (*at, call.address.kind)
        # Two tensors of one vector with different noise: the weaker one is what protects.
        leaves[key] = min(leaf, leaves.get(key, leaf))
    found: list[Leaf] = []
    for (path, *_), leaf in leaves.items():
        found += _of_choices(leaf, chosen[path], relation) if path in chosen else [leaf]
    return found


def _of_choices(leaf: Leaf, choices: list[NoiseCall], relation: NeighboringRelation) -> list[Leaf]:
    """The leaves of one draw from each of one or several disjoint groups of records.

    A separation is that of replace-one, never doubled. A record that is replaced may change its group, and then moves
    two codes of one draw, each by 1 / sqrt(2) of the whole.
    """
    replacing = relation is REPLACE_ONE
    moved = 2 if replacing and len({call.address for call in choices}) > 1 else 1
    noise = leaf.noise * math.sqrt(moved) / (2 if replacing else 1)
    return [Leaf(leaf.law, noise, records=round(min(call.scale for call in choices)))] * moved


def _leaf(call: NoiseCall, relation: NeighboringRelation, probability: float) -> Leaf:
    """A noise multiplier is deviation / add-or-remove-one sensitivity, which is half that of replace-one."""
    if call.address.kind == "discrete gaussian":
        return Leaf("discrete gaussian", call.scale, round(call.sensitivity**2), probability)
    one = call.sensitivity / (2 if relation is REPLACE_ONE else 1)
    return Leaf(call.address.kind, call.scale / one if one else math.inf, probability=probability)
