"""Rényi differential privacy: an upper bound that is fast, and with one fixed order the adaptive accountant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from dpgen import validate
from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.flatten import Leaves, flatten, require_supported, supported
from dpgen.accountants.rdp.conversion import delta_from_rdp, epsilon_from_rdp
from dpgen.accountants.rdp.curves import rdp_curve
from dpgen.budget import REPLACE_ONE, BoundKind, NeighboringRelation
from dpgen.errors import InvalidValue
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

Floats = NDArray[np.float64]


@cache
def default_orders() -> tuple[float, ...]:
    """Orders 1.01 .. 64 densely, then integers a tenth apart up to 2^15: Gaussian(484) has its best order near 2300."""
    near_one = (1.01, 1.02, 1.03, 1.05, 1.07)
    fractional = tuple(round(1 + tenths / 10, 1) for tenths in range(1, 100) if tenths % 10)
    integers = set(range(2, 65)) | {round(64 * 1.1**power) for power in range(66)} | {2**15}
    return tuple(sorted((*near_one, *fractional, *map(float, integers))))


@final
class RdpAccountant(Accountant):
    """Upper bounds by Rényi DP (Mironov 2017, arXiv 1702.07476), by the formulas of `curves` and `conversion`.

    Prices every event, of sampled ones those of a single noise; `EpsilonDelta` only with delta 0. Under replace-one a
    sampled event costs more here than by `pld`. The lower end of the bounds is 0 (nothing proved), the estimate is the
    upper end.

    Args:
        order: one fixed order > 1. The accountant is then `adaptive`: at a single order, fixed beforehand, Rényi
            divergences add up even when later events are chosen from earlier outputs (Feldman,
            Zrnic 2021, arXiv 2008.11193).
        orders: the orders to optimise over, each > 1; `default_orders()` when neither is given.

    Raises: `InvalidValue` when an order is not > 1, or when both `order` and `orders` are given.
    """

    name: ClassVar[str] = "rdp"
    kind: ClassVar[BoundKind] = "bound"
    cites: ClassVar[tuple[str, ...]] = (
        "Mironov: Rényi Differential Privacy. CSF 2017. arXiv 1702.07476",
        "Mironov, Talwar, Zhang: Rényi Differential Privacy of the Sampled Gaussian Mechanism. 2019. arXiv 1908.10530",
        "Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy. NeurIPS 2020. arXiv 2004.00010",
    )

    def __init__(self, order: float | None = None, *, orders: Sequence[float] | None = None) -> None:
        if order is not None and orders is not None:
            raise InvalidValue("give `order` (one, adaptive) or `orders` (the best of many); found both.")
        chosen = (order,) if order is not None else tuple(default_orders() if orders is None else orders)
        for one in chosen:
            validate.positive(order=one)
        if not chosen or min(chosen) <= 1:
            raise InvalidValue(f"every Rényi order must be > 1; found {chosen}. Start them at 1.01, say.")
        self.orders: tuple[float, ...] = tuple(sorted({float(one) for one in chosen}))
        self._adaptive = order is not None

    @property
    def adaptive(self) -> bool:
        """True for one fixed order."""
        return self._adaptive

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        """See `Accountant.supports`."""
        return supported(event, relation, rdp_refusal)

    def rdp(self, event: DpEvent, *, relation: NeighboringRelation) -> Floats:
        """Upper bound on the Rényi divergence of `event` at each of `self.orders`; infinity where none is proved."""
        relation = NeighboringRelation(relation)
        return self._curve(require_supported(event, self, relation, rdp_refusal), relation)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.epsilon`; `upper` is what enforces."""
        validate.open_unit(delta=delta)
        upper = epsilon_from_rdp(np.asarray(self.orders), self.rdp(event, relation=relation), delta)
        lower = math.inf if NonPrivate() in flatten(event) else 0.0
        return Bound(lower=lower, estimate=upper, upper=upper, kind=self.kind)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        """See `Accountant.delta`; `upper` is what enforces."""
        validate.not_negative(epsilon=epsilon)
        upper = delta_from_rdp(np.asarray(self.orders), self.rdp(event, relation=relation), epsilon)
        lower = 1.0 if NonPrivate() in flatten(event) else 0.0
        return Bound(lower=lower, estimate=upper, upper=upper, kind=self.kind)

    def _curve(self, leaves: Leaves, relation: NeighboringRelation) -> Floats:
        total = np.zeros(len(self.orders))
        with np.errstate(over="ignore"):  # infinity is what it should become
            for leaf, count in leaves.items():
                total += count * rdp_curve(leaf, self.orders, relation)
        return total


def rdp_refusal(leaf: DpEvent, relation: NeighboringRelation) -> str | None:
    """A `Refusal`: why Rényi DP has no proved price for a flattened leaf."""
    match leaf:
        case NonPrivate() | Gaussian() | DiscreteGaussian() | Laplace() | AggregatePosterior() | EpsilonDelta(delta=0):
            return None
        case OnShards(event=inner):
            return rdp_refusal(inner, REPLACE_ONE)
        case EpsilonDelta():
            return "a delta of its own has no Rényi divergence"
        case SampledWithoutReplacement() if relation is not REPLACE_ONE:
            return "a sample of fixed size shows the number of records; state the budget for replace_one"
        case PoissonSampled(event=EpsilonDelta()) if relation is REPLACE_ONE:
            return "proved for replace_one, it says nothing about a sample with and without the record"
        case PoissonSampled(event=inner) | SampledWithoutReplacement(event=inner):
            if isinstance(inner, NonPrivate | Gaussian | DiscreteGaussian | Laplace) or _is_pure(inner):
                return None
            return "of sampled events only those of one plain noise, or of one pure epsilon, are priced"
    return f"no formula for {type(leaf).__name__}"


def _is_pure(event: DpEvent) -> bool:
    return isinstance(event, EpsilonDelta) and event.delta == 0
