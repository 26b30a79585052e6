"""The laws of accounting, as functions of an accountant; each is shown to reject an accountant that breaks it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dpgen.accountants import Accountant, Bound, GdpAccountant, PrvAccountant, RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, BoundKind, NeighboringRelation
from dpgen.events import Composed, DiscreteGaussian, DpEvent, Gaussian, NonPrivate, NoOp, PoissonSampled, SelfComposed
from dpgen.testing.strategies import event_trees

DELTA = 1e-5
SLACK = 1e-9  # relative, for the rounding of exact formulas

noises = st.floats(0.6, 50)
probabilities = st.sampled_from((0.0, 1e-4, 0.01, 0.1, 0.5, 0.99, 1.0))
deltas = st.sampled_from((1e-9, 1e-6, 1e-5, 1e-3, 0.3))
gaussians = st.builds(Gaussian, noises)
all_leaves = st.one_of(
    gaussians,
    st.builds(PoissonSampled, probabilities, gaussians),
    st.builds(DiscreteGaussian, noises, st.integers(0, 3)),
    st.just(NoOp()),
)


def epsilon(accountant: Accountant, event: DpEvent, delta: float = DELTA) -> Bound:
    bound = accountant.epsilon(event, delta=delta, relation=ADD_OR_REMOVE_ONE)
    assert 0 <= bound.lower <= bound.estimate <= bound.upper  # false for NaN
    return bound


def not_above(cheap: Bound, dear: Bound) -> None:
    """The true price of the first is at most that of the second, as far as the bounds can tell."""
    assert cheap.lower <= dear.upper * (1 + SLACK) + 1e-12


# --- the laws ---------------------------------------------------------------------------------------------------------
def law_nothing_is_free_and_no_protection_is_infinite(accountant: Accountant, event: DpEvent) -> None:
    assert epsilon(accountant, NoOp()).upper == 0
    assert epsilon(accountant, Composed((event, NonPrivate()))).lower == math.inf


def law_enclosures_agree_with_exact_gaussians(accountant: Accountant, noise: float, count: int, delta: float) -> None:
    bound = epsilon(accountant, SelfComposed(Gaussian(noise), count), delta)
    exact = _exact_gaussian_delta(math.sqrt(count) / noise, bound.upper)
    assert exact <= delta * (1 + 1e-8)
    if bound.lower > 1e-6:
        assert _exact_gaussian_delta(math.sqrt(count) / noise, bound.lower) >= delta * (1 - 1e-8)


def law_one_sampled_step_is_enclosed(accountant: Accountant, probability: float, noise: float, delta: float) -> None:
    bound = epsilon(accountant, PoissonSampled(probability, Gaussian(noise)), delta)
    assert _exact_sampled_delta(probability, noise, bound.upper) <= delta * (1 + 1e-6)
    if bound.lower > 1e-6:
        assert _exact_sampled_delta(probability, noise, bound.lower) >= delta * (1 - 1e-6)


def law_more_noise_never_costs_more(accountant: Accountant, base: DpEvent, noise: float, extra: float) -> None:
    quiet, loud = Composed((base, Gaussian(noise))), Composed((base, Gaussian(noise + extra)))
    not_above(epsilon(accountant, loud), epsilon(accountant, quiet))


def law_rarer_or_fewer_steps_never_cost_more(
    accountant: Accountant, noise: float, low: float, high: float, few: int, more: int
) -> None:
    def step(probability: float, count: int) -> Bound:
        return epsilon(accountant, SelfComposed(PoissonSampled(probability, Gaussian(noise)), count))

    not_above(step(low, few), step(high, few))
    not_above(step(high, few), step(high, few + more))


def law_larger_delta_never_costs_more(accountant: Accountant, event: DpEvent, delta: float, factor: float) -> None:
    not_above(epsilon(accountant, event, min(0.9, delta * factor)), epsilon(accountant, event, delta))


def law_a_composition_costs_at_least_each_part(accountant: Accountant, parts: list[DpEvent]) -> None:
    whole = epsilon(accountant, Composed(tuple(parts)))
    for part in parts:
        not_above(epsilon(accountant, part), whole)


def law_order_and_nesting_do_not_matter(accountant: Accountant, parts: list[DpEvent]) -> None:
    flat = epsilon(accountant, Composed(tuple(parts)))
    nested: DpEvent = NoOp()
    for part in parts:
        nested = Composed((part, SelfComposed(nested, 1)))
    assert _close(epsilon(accountant, nested), flat)
    assert _close(epsilon(accountant, Composed(tuple(parts[::-1]))), flat)


def law_repetition_is_composition(accountant: Accountant, event: DpEvent, count: int) -> None:
    assert _close(epsilon(accountant, SelfComposed(event, count)), epsilon(accountant, Composed((event,) * count)))


def law_epsilon_and_delta_are_two_readings_of_one_curve(accountant: Accountant, event: DpEvent) -> None:
    bound = epsilon(accountant, event)
    if bound.upper < math.inf:
        back = accountant.delta(event, epsilon=bound.upper, relation=ADD_OR_REMOVE_ONE)
        assert 0 <= back.lower <= back.estimate <= back.upper <= 1
        assert back.lower <= DELTA * (1 + 1e-6)


def law_replacing_moves_a_sum_twice_as_far(accountant: Accountant, noise: float) -> None:
    at = accountant.epsilon(Gaussian(noise), delta=DELTA, relation=REPLACE_ONE)
    assert _close(at, epsilon(accountant, Gaussian(noise / 2)))


def _exact_gaussian_delta(mu: float, epsilon: float) -> float:
    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu)))


def _exact_sampled_delta(q: float, s: float, epsilon: float) -> float:
    """max over both directions of P(loss > epsilon) - e^epsilon Q(loss > epsilon), at the one crossing x."""
    if q in (0.0, 1.0):
        return 0.0 if q == 0 else _exact_gaussian_delta(1 / s, epsilon)
    x = s * s * math.log1p(math.expm1(epsilon) / q) + 0.5  # M/N exceeds e^epsilon above x
    absent, present = norm.sf(x / s), norm.sf((x - 1) / s)
    removing = (1 - q) * absent + q * present - math.exp(epsilon) * absent
    if math.exp(-epsilon) <= 1 - q:
        return float(removing)
    x = s * s * math.log1p(math.expm1(-epsilon) / q) + 0.5  # N/M exceeds e^epsilon below x
    absent, present = norm.cdf(x / s), norm.cdf((x - 1) / s)
    return float(max(removing, absent - math.exp(epsilon) * ((1 - q) * absent + q * present)))


def _close(first: Bound, second: Bound) -> bool:
    return math.isclose(first.upper, second.upper, rel_tol=1e-9, abs_tol=1e-9)


# --- the accountants that keep them -----------------------------------------------------------------------------------
FAST = (RdpAccountant(), RdpAccountant(order=8.0))
EVERYTHING = (*FAST, PrvAccountant(0.1))
everything = pytest.mark.parametrize("accountant", EVERYTHING, ids=["rdp", "rdp-fixed", "prv"])
with_gaussians = pytest.mark.parametrize(
    "accountant", [*EVERYTHING, GdpAccountant()], ids=["rdp", "rdp-fixed", "prv", "gdp"]
)


def examples(count: int) -> Callable[[Any], Any]:
    """`count` where the profile says 50 (a prv price takes tens of milliseconds); a deeper profile scales it."""
    return settings(max_examples=max(1, count * settings().max_examples // 50))


@with_gaussians
@examples(10)
@given(tree=event_trees(gaussians))
def test_nothing_and_everything(accountant: Accountant, tree: DpEvent) -> None:
    law_nothing_is_free_and_no_protection_is_infinite(accountant, tree)


@with_gaussians
@examples(30)
@given(noise=noises, count=st.integers(1, 1000), delta=deltas)
def test_gaussians(accountant: Accountant, noise: float, count: int, delta: float) -> None:
    law_enclosures_agree_with_exact_gaussians(accountant, noise, count, delta)


@everything
@examples(15)
@given(probability=probabilities, noise=noises, delta=deltas)
def test_one_sampled_step(accountant: Accountant, probability: float, noise: float, delta: float) -> None:
    law_one_sampled_step_is_enclosed(accountant, probability, noise, delta)


@everything
@examples(8)
@given(base=event_trees(all_leaves), noise=noises, extra=st.floats(0, 10))
def test_more_noise(accountant: Accountant, base: DpEvent, noise: float, extra: float) -> None:
    law_more_noise_never_costs_more(accountant, base, noise, extra)


@everything
@examples(8)
@given(noise=noises, rates=st.tuples(probabilities, probabilities), few=st.integers(0, 50), more=st.integers(0, 50))
def test_rarer_and_fewer(accountant: Accountant, noise: float, rates: tuple[float, float], few: int, more: int) -> None:
    law_rarer_or_fewer_steps_never_cost_more(accountant, noise, min(rates), max(rates), few, more)


@everything
@examples(8)
@given(event=event_trees(all_leaves), delta=deltas, factor=st.floats(1, 100))
def test_larger_delta(accountant: Accountant, event: DpEvent, delta: float, factor: float) -> None:
    law_larger_delta_never_costs_more(accountant, event, delta, factor)


@everything
@examples(8)
@given(parts=st.lists(event_trees(all_leaves), max_size=3))
def test_composition(accountant: Accountant, parts: list[DpEvent]) -> None:
    law_a_composition_costs_at_least_each_part(accountant, parts)
    law_order_and_nesting_do_not_matter(accountant, parts)


@everything
@examples(6)
@given(event=event_trees(all_leaves), count=st.integers(0, 5))
def test_repetition(accountant: Accountant, event: DpEvent, count: int) -> None:
    law_repetition_is_composition(accountant, event, count)


@everything
@examples(8)
@given(event=event_trees(all_leaves))
def test_two_readings(accountant: Accountant, event: DpEvent) -> None:
    law_epsilon_and_delta_are_two_readings_of_one_curve(accountant, event)


@with_gaussians
@examples(20)
@given(noise=noises)
def test_replace_one(accountant: Accountant, noise: float) -> None:
    law_replacing_moves_a_sum_twice_as_far(accountant, noise)


@examples(8)
@given(event=event_trees(all_leaves), delta=deltas)
def test_rdp_is_never_below_prv(event: DpEvent, delta: float) -> None:
    not_above(epsilon(PrvAccountant(0.1), event, delta), epsilon(RdpAccountant(), event, delta))
    assert epsilon(PrvAccountant(0.1), event, delta).upper <= epsilon(RdpAccountant(), event, delta).upper


# --- broken twins: every law rejects one ------------------------------------------------------------------------------
class Twin(Accountant):
    """A sound accountant whose questions and answers are tampered with."""

    name: ClassVar[str] = "twin"
    kind: ClassVar[BoundKind] = "bound"
    adaptive = False

    def __init__(
        self,
        *,
        ask: Callable[[DpEvent], DpEvent] = lambda event: event,
        answer: Callable[[Bound, float], Bound] = lambda bound, _: bound,
        relation: NeighboringRelation | None = None,
        inner: Accountant | None = None,
    ) -> None:
        self.inner, self.ask, self.answer = inner or RdpAccountant(), ask, answer
        self.relation = relation

    def supports(self, event: DpEvent, *, relation: NeighboringRelation) -> bool:
        return self.inner.supports(event, relation=relation)

    def epsilon(self, event: DpEvent, *, delta: float, relation: NeighboringRelation) -> Bound:
        found = self.inner.epsilon(self.ask(event), delta=delta, relation=self.relation or relation)
        return self.answer(found, delta)

    def delta(self, event: DpEvent, *, epsilon: float, relation: NeighboringRelation) -> Bound:
        return self.inner.delta(event, epsilon=epsilon, relation=self.relation or relation)


def drop_the_query(event: DpEvent) -> DpEvent:
    return Composed(event.events[1:]) if isinstance(event, Composed) else event


def forget_the_count(event: DpEvent) -> DpEvent:
    return replace(event, count=min(event.count, 1)) if isinstance(event, SelfComposed) else event


def invert_the_noise(event: DpEvent) -> DpEvent:
    if isinstance(event, Composed):
        return Composed(tuple(map(invert_the_noise, event.events)))
    return Gaussian(1 / event.noise_multiplier) if isinstance(event, Gaussian) else event


def amplify_twice(event: DpEvent) -> DpEvent:
    return replace(event, probability=event.probability**2) if isinstance(event, PoissonSampled) else event


def sample_the_complement(event: DpEvent) -> DpEvent:
    if isinstance(event, SelfComposed):
        return replace(event, event=sample_the_complement(event.event))
    return replace(event, probability=1 - event.probability) if isinstance(event, PoissonSampled) else event


def charge_for_nothing(event: DpEvent) -> DpEvent:
    return Composed((event, Gaussian(9.0)))


def exact(bound: Bound, value: float) -> Bound:
    return replace(bound, lower=value, estimate=value, upper=value)


def lower_end(bound: Bound, _: float) -> Bound:
    return exact(bound, bound.lower)


def upper_end(bound: Bound, _: float) -> Bound:
    return exact(bound, bound.upper)


def grow_with_delta(bound: Bound, delta: float) -> Bound:
    return exact(bound, bound.upper * delta)


def not_a_number(bound: Bound, _: float) -> Bound:
    return exact(bound, math.nan)


STEP = PoissonSampled(0.5, Gaussian(0.8))
QUERY = DiscreteGaussian(2.0, 1)
BROKEN: dict[str, tuple[Twin, Callable[[Accountant], None]]] = {
    "charges for nothing": (
        Twin(ask=charge_for_nothing),
        lambda twin: law_nothing_is_free_and_no_protection_is_infinite(twin, STEP),
    ),
    "lower end of rdp": (
        Twin(answer=lower_end),
        lambda twin: law_enclosures_agree_with_exact_gaussians(twin, 1.0, 1, DELTA),
    ),
    "lower end of prv": (
        Twin(answer=lower_end, inner=PrvAccountant()),
        lambda twin: law_one_sampled_step_is_enclosed(twin, 0.5, 0.8, DELTA),
    ),
    "upper end of prv as the truth": (
        Twin(answer=upper_end, inner=PrvAccountant()),
        lambda twin: law_one_sampled_step_is_enclosed(twin, 0.5, 0.8, DELTA),
    ),
    "amplified twice": (
        Twin(ask=amplify_twice, inner=PrvAccountant()),
        lambda twin: law_one_sampled_step_is_enclosed(twin, 0.5, 0.8, DELTA),
    ),
    "drops the query": (
        Twin(ask=drop_the_query, answer=upper_end),
        lambda twin: law_a_composition_costs_at_least_each_part(twin, [QUERY, Gaussian(30.0)]),
    ),
    "drops what comes first": (
        Twin(ask=drop_the_query),
        lambda twin: law_order_and_nesting_do_not_matter(twin, [QUERY, STEP]),
    ),
    "forgets the count": (
        Twin(ask=forget_the_count),
        lambda twin: law_repetition_is_composition(twin, STEP, 4),
    ),
    "forgets the count of gaussians": (
        Twin(ask=forget_the_count),
        lambda twin: law_enclosures_agree_with_exact_gaussians(twin, 3.0, 100, DELTA),
    ),
    "noise upside down": (
        Twin(ask=invert_the_noise, answer=upper_end),
        lambda twin: law_more_noise_never_costs_more(twin, NoOp(), 0.7, 2.0),
    ),
    "probability upside down": (
        Twin(ask=sample_the_complement, answer=upper_end),
        lambda twin: law_rarer_or_fewer_steps_never_cost_more(twin, 2.0, 0.1, 0.9, 10, 5),
    ),
    "grows with delta": (
        Twin(answer=grow_with_delta),
        lambda twin: law_larger_delta_never_costs_more(twin, STEP, 1e-6, 10.0),
    ),
    "not a number": (Twin(answer=not_a_number), lambda twin: epsilon(twin, STEP) and None),
    "one curve for two": (
        Twin(ask=lambda _: Gaussian(9.0), answer=upper_end, inner=GdpAccountant()),
        lambda twin: law_epsilon_and_delta_are_two_readings_of_one_curve(twin, Gaussian(1.0)),
    ),
    "ignores the relation": (
        Twin(relation=ADD_OR_REMOVE_ONE),
        lambda twin: law_replacing_moves_a_sum_twice_as_far(twin, 3.0),
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_twin_is_rejected(case: tuple[Twin, Callable[[Accountant], None]]) -> None:
    twin, law = case
    with pytest.raises(AssertionError):
        law(twin)


def test_an_untampered_twin_is_accepted() -> None:
    """The twins fail by what was done to them, not by being twins."""
    for _, law in BROKEN.values():
        law(Twin(inner=PrvAccountant()))
