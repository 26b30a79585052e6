"""Faults of accountants; each asks an honest one and spoils the answer."""

from __future__ import annotations

import math
from dataclasses import replace

from dpgen import ADD_OR_REMOVE_ONE, Accountant, Bound
from dpgen.accountants import RdpAccountant
from dpgen.events import Composed, Gaussian, NonPrivate, NoOp, SelfComposed, Unsupported
from zoo.fault import faults

PROVED = "check_never_below_the_proved_price"
NOTHING = "check_no_op_costs_nothing"
INFINITE = "check_non_private_costs_infinity"
ORDERED = "check_bounds_are_ordered"
TRUTH = "check_supports_tells_the_truth"
RANGE = "check_refuses_numbers_out_of_range"
NOISIER = "check_more_noise_never_costs_more"
FEWER = "check_fewer_or_rarer_steps_never_cost_more"
DELTA = "check_larger_delta_never_costs_more"
PARTS = "check_composition_costs_at_least_each_part"
ORDER = "check_order_and_nesting_do_not_matter"
SAME = "check_same_question_same_answer"


class Honest(Accountant):
    """Renyi bounds."""

    name = "zoo_rdp"
    kind = "bound"
    adaptive = False
    _true = RdpAccountant()

    def supports(self, event, *, relation):
        return self._true.supports(event, relation=relation)

    def epsilon(self, event, *, delta, relation):
        return self._true.epsilon(event, delta=delta, relation=relation)

    def delta(self, event, *, epsilon, relation):
        return self._true.delta(event, epsilon=epsilon, relation=relation)


def times(bound: Bound, factor: float) -> Bound:
    return Bound(0.0, bound.estimate * factor, bound.upper * factor, bound.kind)


def holds(event, kind) -> bool:
    inner = getattr(event, "events", None) or ([event.event] if hasattr(event, "event") else [])
    return isinstance(event, kind) or any(holds(part, kind) for part in inner)


class Understates(Honest):
    """Claims half the price."""

    def epsilon(self, event, **given):
        return times(super().epsilon(event, **given), 0.5)


class ForgetsTheRelation(Honest):
    """Prices replace-one as add-or-remove-one."""

    def epsilon(self, event, *, delta, relation):
        return super().epsilon(event, delta=delta, relation=ADD_OR_REMOVE_ONE)

    def delta(self, event, *, epsilon, relation):
        return super().delta(event, epsilon=epsilon, relation=ADD_OR_REMOVE_ONE)


class UnderstatesDelta(Honest):
    """Claims a thousandth of delta."""

    def delta(self, event, **given):
        bound = super().delta(event, **given)
        return bound if bound.upper == 1 else times(bound, 1e-3)


class CountsOnce(Honest):
    """Prices a composition of equal steps as one."""

    def epsilon(self, event, **given):
        if isinstance(event, SelfComposed) and event.count > 0:
            event = event.event
        return super().epsilon(event, **given)


class DearestPart(Honest):
    """Prices a composition as its dearest part."""

    def epsilon(self, event, **given):
        if isinstance(event, Composed) and event.events:
            return max((self.epsilon(part, **given) for part in event.events), key=lambda bound: bound.upper)
        return super().epsilon(event, **given)


class FirstPart(Honest):
    """Prices a composition as its first part."""

    def epsilon(self, event, **given):
        if isinstance(event, Composed) and event.events and not holds(event, NonPrivate | Unsupported):
            return self.epsilon(event.events[0], **given)
        return super().epsilon(event, **given)


class ChargesForNothing(Honest):
    """Prices nothing at a little."""

    def epsilon(self, event, **given):
        bound = super().epsilon(event, **given)
        return Bound(0.0, 0.01, 0.01, "bound") if bound.upper == 0 and holds(event, NoOp) else bound


class FiniteNonPrivate(Honest):
    """Prices what is not protected at a hundred."""

    def epsilon(self, event, **given):
        bound = super().epsilon(event, **given)
        return Bound(0.0, 100.0, 100.0, "bound") if bound.upper == math.inf else bound


class RisesWithNoise(Honest):
    """Charges more where there is much noise."""

    def epsilon(self, event, **given):
        bound = super().epsilon(event, **given)
        noisy = isinstance(event, Gaussian) and event.noise_multiplier >= 3
        return times(bound, 10) if noisy else bound


class RisesWithDelta(Honest):
    """Charges more for a larger delta."""

    def epsilon(self, event, *, delta, relation):
        return times(super().epsilon(event, delta=delta, relation=relation), 1e3 if delta > 1e-3 else 1.0)


class FallsWithSteps(Honest):
    """Charges almost nothing for many steps."""

    def epsilon(self, event, **given):
        many = isinstance(event, SelfComposed) and event.count >= 20
        return times(super().epsilon(event, **given), 1e-3 if many else 1.0)


class CheaperTogether(Honest):
    """Gives a discount on two parts."""

    def epsilon(self, event, **given):
        bound = super().epsilon(event, **given)
        return times(bound, 0.3) if isinstance(event, Composed) and len(event.events) == 2 else bound


class DearerNested(Honest):
    """Prices a tree by its shape."""

    def epsilon(self, event, **given):
        nested = isinstance(event, Composed) and any(isinstance(part, Composed) for part in event.events)
        return times(super().epsilon(event, **given), 1.5 if nested else 1.0)


class UnsortedBounds(Honest):
    """Gives a lower bound above the upper one."""

    def epsilon(self, event, **given):
        bound = super().epsilon(event, **given)
        return replace(bound, lower=2 * bound.upper)


class DeltaAboveOne(Honest):
    """Gives a delta above 1."""

    def delta(self, event, **given):
        bound = super().delta(event, **given)
        return bound if bound.upper == 1 else Bound(0.0, 1.5, 1.5, "bound")


class AnotherKind(Honest):
    """Says that a bound is certified."""

    def epsilon(self, event, **given):
        return replace(super().epsilon(event, **given), kind="certified")


class PricesTheUnknown(Honest):
    """Prices what no event describes."""

    def epsilon(self, event, **given):
        if holds(event, Unsupported):
            return Bound(0.0, 1.0, 1.0, "bound")
        return super().epsilon(event, **given)


class AnyDelta(Honest):
    """Takes a delta of 0 and of 1."""

    def epsilon(self, event, *, delta, relation):
        return super().epsilon(event, delta=min(max(delta, 1e-9), 0.9) if delta == delta else 0.5, relation=relation)


class Remembers(Honest):
    """Grows dearer with every question."""

    asked = 0

    def epsilon(self, event, **given):
        self.asked += 1
        return times(super().epsilon(event, **given), 1 + 1e-6 * self.asked)


FAULTS = faults(
    lambda cls: cls(),
    (Understates, PROVED, ()),
    (ForgetsTheRelation, PROVED, ()),
    (UnderstatesDelta, PROVED, ()),
    (CountsOnce, PROVED, (ORDER,)),
    (DearestPart, PROVED, (ORDER,)),
    (FirstPart, PROVED, (PARTS, ORDER)),
    (ChargesForNothing, NOTHING, (PROVED, FEWER)),
    (FiniteNonPrivate, INFINITE, ()),
    (RisesWithNoise, NOISIER, (PARTS,)),
    (FallsWithSteps, FEWER, (PROVED,)),
    (RisesWithDelta, DELTA, ()),
    (CheaperTogether, PARTS, (PROVED, ORDER)),
    (DearerNested, ORDER, ()),
    (UnsortedBounds, ORDERED, ()),
    (DeltaAboveOne, ORDERED, ()),
    (AnotherKind, ORDERED, ()),
    (PricesTheUnknown, TRUTH, ()),
    (AnyDelta, RANGE, ()),
    (Remembers, SAME, ()),
)
