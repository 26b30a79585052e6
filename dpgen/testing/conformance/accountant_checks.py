"""The checks of accountants: the laws that every price obeys. Of an approximation its estimate is what is judged."""

from __future__ import annotations

import math
from typing import Final

from dpgen.accountants.gdp import GdpAccountant
from dpgen.accountants.pld import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, NeighboringRelation
from dpgen.errors import InvalidValue, UnsupportedEvent
from dpgen.events import (
    Composed,
    DpEvent,
    Gaussian,
    NonPrivate,
    NoOp,
    PoissonSampled,
    SelfComposed,
    Unsupported,
)
from dpgen.testing.conformance.accountant_trial import DELTA, FORMS, AccountantTrial
from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.failure import CheckFailed, require

SLACK: Final = 0.02
"""Relative room for the grids of numerical accountants; the events of one law are chosen further apart."""


def check_no_op_costs_nothing(trial: AccountantTrial) -> None:
    """Nothing done, however often, costs nothing."""
    for event in (NoOp(), Composed(()), SelfComposed(NoOp(), 5)):
        for relation in NeighboringRelation:
            cost = trial.upper(event, relation=relation)
            mend = "Price NoOp, and what holds nothing else, at exactly 0."
            require(cost == 0, f"{event} must cost 0 ({relation})", found=f"{cost:.6g}", mend=mend)


def check_non_private_costs_infinity(trial: AccountantTrial) -> None:
    """Records without protection have no finite price, alone or in company."""
    mend = "Price NonPrivate, and every composition with one in it, at infinity: epsilon inf, delta 1."
    for event in (NonPrivate(), Composed((Gaussian(5.0), NonPrivate())), Gaussian(0.0)):
        bound = trial.subject.epsilon(event, delta=DELTA, relation=ADD_OR_REMOVE_ONE)
        require(bound.upper == math.inf, f"{event} must cost infinity", found=f"{bound.upper:.6g}", mend=mend)
        upper = trial.subject.delta(event, epsilon=1.0, relation=ADD_OR_REMOVE_ONE).upper
        require(upper == 1, f"{event} must have delta 1", found=f"{upper:.6g}", mend=mend)


def check_bounds_are_ordered(trial: AccountantTrial) -> None:
    """0 <= lower <= estimate <= upper, never NaN; deltas at most 1; `kind` as the class says."""
    for event, relation in trial.priced():
        epsilon = trial.subject.epsilon(event, delta=DELTA, relation=relation)
        delta = trial.subject.delta(event, epsilon=0.5, relation=relation)
        for name, bound in (("epsilon", epsilon), ("delta", delta)):
            sound = 0 <= bound.lower <= bound.estimate <= bound.upper and (name == "epsilon" or bound.estimate <= 1)
            require(
                sound and bound.kind == trial.subject.kind,
                f"the {name} of {event} must be an enclosure of the stated kind ({relation})",
                found=str(bound),
                mend="Return 0 and infinity where nothing better is known; round bounds outwards.",
            )


def check_supports_tells_the_truth(trial: AccountantTrial) -> None:
    """What is supported has a price, what is not is refused with `UnsupportedEvent`, also deep inside a tree."""
    strange = (Unsupported("a shuffle"), Composed((Gaussian(1.0), SelfComposed(Unsupported("a shuffle"), 2))))
    for relation in NeighboringRelation:
        for event in (*strange, *(form(1.0) for form in FORMS)):
            if trial.subject.supports(event, relation=relation) and event not in strange:
                continue
            for asked, ask in (("epsilon", {"delta": DELTA}), ("delta", {"epsilon": 1.0})):
                try:
                    answer = getattr(trial.subject, asked)(event, relation=relation, **ask)
                except UnsupportedEvent:
                    continue
                raise CheckFailed(
                    f"an event without a proved price must be refused: {event} ({relation})",
                    found=f"the {asked} {answer}",
                    mend="Raise `UnsupportedEvent` for every tree with a part that no theorem covers.",
                )


def check_refuses_numbers_out_of_range(trial: AccountantTrial) -> None:
    """A delta outside (0, 1) and a negative or infinite epsilon are refused."""
    wrong = [("epsilon", {"delta": x}) for x in (0.0, 1.0, -1e-5, math.nan)]
    wrong += [("delta", {"epsilon": x}) for x in (-0.1, math.nan)]
    for asked, ask in wrong:
        try:
            getattr(trial.subject, asked)(Gaussian(1.0), relation=ADD_OR_REMOVE_ONE, **ask)
        except InvalidValue:
            continue
        raise CheckFailed(
            f"{ask} must be refused by InvalidValue",
            found=f"an {asked}",
            mend="Begin with `validate.open_unit(delta=delta)` and `validate.not_negative(epsilon=epsilon)`.",
        )


def check_more_noise_never_costs_more(trial: AccountantTrial) -> None:
    """Along growing noise no price rises."""
    for relation in NeighboringRelation:
        for form in trial.forms(relation):
            events = [form(noise) for noise in (0.7, 1.0, 3.0)]
            _falling(trial, "more noise", [(event, DELTA) for event in events], relation)


def check_fewer_or_rarer_steps_never_cost_more(trial: AccountantTrial) -> None:
    """Along falling step counts and falling sampling probabilities no price rises."""
    for form in trial.forms():
        events = [SelfComposed(form(1.0), count) for count in (20, 3, 1, 0)]
        _falling(trial, "fewer steps", [(event, DELTA) for event in events])
    if trial.supports(PoissonSampled(0.4, Gaussian(1.0))):
        rarer = [SelfComposed(PoissonSampled(q, Gaussian(1.0)), 10) for q in (1.0, 0.4, 0.05, 0.0)]
        _falling(trial, "a smaller probability", [(event, DELTA) for event in rarer])


def check_larger_delta_never_costs_more(trial: AccountantTrial) -> None:
    """Along growing deltas no epsilon rises."""
    for form in trial.forms():
        _falling(trial, "a larger delta", [(form(1.0), delta) for delta in (1e-7, 1e-5, 1e-2)])


def check_composition_costs_at_least_each_part(trial: AccountantTrial) -> None:
    """Nothing gets cheaper by doing something else as well."""
    parts = [form(1.0) for form in trial.forms()]
    for first, second in zip(parts, parts[1:] + parts[:1], strict=True):
        both = Composed((first, second))
        if trial.supports(both):
            _falling(trial, "leaving out a part", [(both, DELTA), (first, DELTA)])


def check_order_and_nesting_do_not_matter(trial: AccountantTrial) -> None:
    """The same parts in another order, or composed in another tree, have the same price."""
    parts = [form(1.0) for form in trial.forms()][:3]
    nested = Composed((*parts[1:], Composed((SelfComposed(parts[0], 1), NoOp()))))
    if not trial.supports(nested):
        return
    flat, other = trial.upper(Composed(tuple(parts))), trial.upper(nested)
    require(
        math.isclose(flat, other, rel_tol=SLACK, abs_tol=1e-9),
        "a composition must have one price, in every order and nesting",
        found=f"{flat:.6g} and {other:.6g}",
        mend="Flatten the tree first; add up where your theory adds up.",
    )


def check_never_below_the_proved_price(trial: AccountantTrial) -> None:
    """No upper bound lies below what `pld` proves from below, nor below the exact price of Gaussians."""
    exact, proved = GdpAccountant(), PldAccountant()
    if trial.subject.kind == "approximation":
        return
    for event, relation in trial.priced():
        judge = exact if exact.supports(event, relation=relation) else proved
        if not judge.supports(event, relation=relation):
            continue
        least = judge.epsilon(event, delta=DELTA, relation=relation).lower
        found = trial.upper(event, relation=relation)
        require(
            found >= least * (1 - 1e-6),
            f"the upper bound of {event} must not lie below its proved price ({relation})",
            found=f"{found:.6g}, where at least {least:.6g} is true",
            mend="Check the distance of the relation (replace-one moves a sum twice as far) and the conversion.",
        )
        small = trial.subject.delta(event, epsilon=least / 2, relation=relation).upper
        truth = judge.delta(event, epsilon=least / 2, relation=relation).lower
        require(
            small >= truth * (1 - 1e-6),
            f"the delta of {event} must not lie below its proved one ({relation})",
            found=f"{small:.6g}, where at least {truth:.6g} is true",
            mend="Solve the same equation for delta as for epsilon.",
        )


def check_same_question_same_answer(trial: AccountantTrial) -> None:
    """An accountant has no state: what was asked before changes no answer."""
    first = [trial.upper(event, relation=relation) for event, relation in trial.priced()]
    again = [AccountantTrial(trial.subject).upper(event, relation=relation) for event, relation in trial.priced()]
    mend = "Keep no charges in an accountant: only a ledger has state."
    require(first == again, "the same question must have the same answer", found="another one", mend=mend)


def _falling(
    trial: AccountantTrial,
    what: str,
    asked: list[tuple[DpEvent, float]],
    relation: NeighboringRelation = ADD_OR_REMOVE_ONE,
) -> None:
    before = math.inf
    for event, delta in asked:
        if not trial.supports(event, relation, delta):
            continue
        cost = trial.upper(event, delta=delta, relation=relation)
        require(
            cost <= before * (1 + SLACK) + 1e-6,
            f"{what} must never cost more: {event} at delta={delta:g} ({relation})",
            found=f"{cost:.6g} after {before:.6g}",
            mend="Check the sign and the power of each parameter in the formula.",
        )
        before = cost


ACCOUNTANT_CHECKS: Final[tuple[Check[AccountantTrial], ...]] = (
    check_no_op_costs_nothing,
    check_non_private_costs_infinity,
    check_bounds_are_ordered,
    check_supports_tells_the_truth,
    check_refuses_numbers_out_of_range,
    check_more_noise_never_costs_more,
    check_fewer_or_rarer_steps_never_cost_more,
    check_larger_delta_never_costs_more,
    check_composition_costs_at_least_each_part,
    check_order_and_nesting_do_not_matter,
    check_never_below_the_proved_price,
    check_same_question_same_answer,
)
