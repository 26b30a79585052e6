"""Lower bounds on epsilon: never above the truth, near it where they should be, and broken twins refuted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dpgen.accountants import NOISE_MULTIPLIER, GdpAccountant, PldAccountant, calibrate
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian
from dpgen.noise import SecureNoise
from dpgen.testing.statistics import (
    AttackRates,
    DiscreteGaussianFamily,
    DpSgdClaim,
    FalseAlarmBudget,
    SampledGaussianFamily,
    attack_rates,
    bound_within,
    clip_ignored,
    clopper_pearson_lower,
    everybody_joins,
    halved_noise,
    observations_needed,
    one_run_bound,
    one_run_epsilon,
    one_run_p_value,
    step_audit,
    two_sided_bound,
)

FALSE_ALARMS = FalseAlarmBudget(2e-7, {"audits": 20})
DELTA = 1e-5
SHIPPED_LEVEL = 1e-3  # of the bounds that are reported; the keys below are fixed, so what holds holds for ever
HALF = 512  # observations a side of one step


def claim_at(epsilon: float, *, probability: float, steps: int, relation: NeighboringRelation) -> DpSgdClaim:
    family = SampledGaussianFamily(sampling_probability=probability, steps=steps, relation=relation)
    budget = Budget(epsilon, DELTA, relation)
    noise = calibrate(PldAccountant(), budget, family.event, NOISE_MULTIPLIER, tolerance=1e-3)
    return DpSgdClaim.priced(family, noise, delta=DELTA)


def steps_for(claim: DpSgdClaim, noise_share: float = 1.25) -> int:
    return (
        observations_needed(claim.family, claim.noise_multiplier, noise_share=noise_share, level=SHIPPED_LEVEL) // HALF
    )


SETTINGS = [(4.0, 1.0, 4), (8.0, 0.5, 8)]  # the others are under `statistical_deep`: minutes


@pytest.mark.parametrize(("epsilon", "probability", "steps"), SETTINGS)
def test_the_shipped_dp_sgd_between_half_its_claim_and_its_claim(
    epsilon: float, probability: float, steps: int
) -> None:
    claim = claim_at(epsilon, probability=probability, steps=steps, relation=ADD_OR_REMOVE_ONE)
    observed = steps_for(claim)
    found = step_audit(claim, steps=observed, noise=SecureNoise(bytes(range(32))))
    assert claim.epsilon / 2 <= found.lower <= claim.epsilon
    strict = FALSE_ALARMS.level("audits")
    assert not step_audit(claim, steps=observed, level=strict, noise=SecureNoise(bytes(range(1, 33)))).refuted
    for twin in (clip_ignored,) if probability == 1 else (halved_noise, everybody_joins):
        assert step_audit(claim, steps=observed, twin=twin, noise=SecureNoise(bytes(range(2, 34)))).refuted, twin


def test_replacing_moves_twice_as_far() -> None:
    claim = claim_at(4.0, probability=0.5, steps=4, relation=REPLACE_ONE)
    observed = steps_for(claim)
    found = step_audit(claim, steps=observed, noise=SecureNoise(bytes(range(32))))
    assert claim.epsilon / 2 <= found.lower <= claim.epsilon
    assert step_audit(claim, steps=observed, twin=halved_noise, noise=SecureNoise(bytes(range(32)))).refuted


@pytest.mark.statistical_deep
@pytest.mark.parametrize("probability", [1.0, 0.5, 0.1])
@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0])
def test_fresh_seeds(epsilon: float, probability: float) -> None:
    """What the audit promises at every start: run it as often as you like."""
    steps = {1.0: 4, 0.5: 8, 0.1: 40}[probability]
    claim = claim_at(epsilon, probability=probability, steps=steps, relation=ADD_OR_REMOVE_ONE)
    observed = steps_for(claim, 1.25)
    found = step_audit(claim, steps=observed)
    print(
        f"epsilon {epsilon:g}, q {probability:g}: {found.lower:.3f} of {found.claimed:.3f}, {observed} steps observed"
    )
    assert claim.epsilon / 2 <= found.lower <= claim.epsilon
    assert step_audit(claim, steps=observed, twin=halved_noise).refuted
    assert step_audit(claim, steps=observed, twin=clip_ignored).refuted


# --- families ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
@pytest.mark.parametrize("probability", [0.03, 0.4, 1.0])
def test_the_power_of_a_sampled_gaussian_is_that_of_its_pair(relation: NeighboringRelation, probability: float) -> None:
    family = SampledGaussianFamily(sampling_probability=probability, steps=1, relation=relation)
    other = -1.0 if relation is REPLACE_ONE else 0.0
    for noise in (0.5, 2.0):
        for cut in (-1.0, 0.3, 2.5):
            tail = lambda mean: stats.norm.sf(cut, loc=mean, scale=noise)  # noqa: E731, B023
            alarms = (1 - probability) * tail(0.0) + probability * tail(other)
            hits = (1 - probability) * tail(0.0) + probability * tail(1.0)
            assert family.power(noise, float(alarms)) == pytest.approx(hits, abs=1e-8)


@pytest.mark.parametrize(("touched", "scale"), [(1, 0.7), (2, 3.0), (5, 10.0)])
def test_the_power_of_counts_by_brute_force(touched: int, scale: float) -> None:
    family = DiscreteGaussianFamily(touched=touched, count=1, relation=ADD_OR_REMOVE_ONE)
    support = np.arange(-150, 151)
    mass = np.exp(-(support**2) / (2 * scale**2))
    mass, law = mass / mass.sum(), np.ones(1)
    for _ in range(touched):
        law = np.convolve(law, mass)
    middle = law.size // 2
    for cut in (0, touched, 2 * touched):
        alarms, hits = law[middle + cut :].sum(), law[middle + cut - touched :].sum()
        assert family.power(scale, float(alarms)) == pytest.approx(hits, abs=1e-7)


def test_discrete_counts_are_bounded_and_their_twin_refuted() -> None:
    family = DiscreteGaussianFamily(touched=1, count=1, relation=ADD_OR_REMOVE_ONE)
    claimed = family.epsilon(1.0, delta=DELTA).upper
    source = SecureNoise(bytes(range(32)))

    def scores(scale: float) -> tuple[np.ndarray, np.ndarray]:
        draws = source.discrete_gaussian(np.zeros(20_000, dtype=np.int64), scale=scale, sensitivity=1.0).astype(float)
        return 1 + draws[0::2], draws[1::2]

    claim = {"delta": DELTA, "level": SHIPPED_LEVEL, "claimed": claimed, "attack": "counts"}
    assert claimed / 2 <= bound_within(family, *scores(1.0), **claim).lower <= claimed
    assert bound_within(family, *scores(0.5), **claim).refuted


def test_the_region_keeps_its_level() -> None:
    """How often the truth is ruled out: at most the level, by exact enumeration of both binomials."""
    family, size, level = SampledGaussianFamily(sampling_probability=1.0, steps=1, relation=ADD_OR_REMOVE_ONE), 60, 0.05
    alarm, noise = 0.3, 1.5
    hit = family.power(noise, alarm)
    masses = [stats.binom(size, p).pmf(np.arange(size + 1)) for p in (hit, alarm)]
    ruled_out = 0.0
    for hits in range(size + 1):
        if masses[0][hits] < 1e-9:
            continue
        for alarms in range(size + 1):
            weight = masses[0][hits] * masses[1][alarms]
            if weight > 1e-5 and hits - alarms > size * (hit - alarm):
                rates = AttackRates(threshold=0.0, hits=hits, present=size, alarms=alarms, absent=size)
                ruled_out += weight * family.rules_out(noise, rates, level=level)
    assert 0 < ruled_out <= level


# --- black box --------------------------------------------------------------------------------------------------------


def test_clopper_pearson_against_its_definition() -> None:
    lower = clopper_pearson_lower(7, 20, 0.01)
    assert stats.binom.sf(6, 20, lower) == pytest.approx(0.01)
    assert clopper_pearson_lower(0, 20, 0.01) == 0


def test_two_sided_bounds_hold_on_a_gaussian_and_refute_a_false_claim() -> None:
    random, truth = np.random.default_rng(0), GdpAccountant()
    true = truth.epsilon(Gaussian(0.8), delta=DELTA, relation=ADD_OR_REMOVE_ONE).upper
    present, absent = 1 / 0.8 + random.standard_normal(20_000), random.standard_normal(20_000)
    claim = {"delta": DELTA, "level": SHIPPED_LEVEL}
    assert 0.25 * true < two_sided_bound(present, absent, **claim, claimed=true).lower < true
    assert two_sided_bound(present, absent, **claim, claimed=0.5).refuted
    same = two_sided_bound(absent[::2], absent[1::2], **claim, claimed=1.0)
    assert same.lower < 0.2
    with pytest.raises(InvalidValue):
        two_sided_bound(np.array([math.nan] * 9), absent, **claim, claimed=1.0)


def test_the_event_is_chosen_on_scores_that_are_not_counted() -> None:
    """A threshold chosen and counted on the same scores would refute nothing at all, by luck."""
    present = np.array([0.0, 9.0] * 10)
    rates = attack_rates(present, np.zeros(20), merit=lambda found: found.hits - found.alarms)
    assert rates.present == rates.absent == 10


# --- one run ----------------------------------------------------------------------------------------------------------


def test_one_run_p_value_by_enumeration() -> None:
    accuracy = 1 / (1 + math.exp(-1.0))
    mass = [math.comb(5, k) * accuracy**k * (1 - accuracy) ** (5 - k) for k in range(6)]
    below = max(sum(mass[4 - i : 4]) / i for i in range(1, 5))
    expected = mass[4] + mass[5] + 2 * 8 * 1e-3 * below
    found = one_run_p_value(canaries=8, guesses=5, correct=4, epsilon=1.0, delta=1e-3)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_one_run_is_valid_for_randomised_response_and_refutes_a_false_claim(delta: float) -> None:
    random, epsilon, canaries = np.random.default_rng(0), 2.0, 600
    took_part = random.random(canaries) < 0.5
    told = np.where(random.random(canaries) < 1 / (1 + math.exp(-epsilon)), took_part, ~took_part)
    scores = told + 1e-3 * random.random(canaries)
    found = one_run_bound(scores, took_part, delta=delta, level=SHIPPED_LEVEL, claimed=epsilon)
    assert 0.5 < found.lower <= epsilon
    assert one_run_bound(scores, took_part, delta=delta, level=SHIPPED_LEVEL, claimed=0.5).refuted
    nothing = one_run_bound(random.random(canaries), took_part, delta=delta, level=SHIPPED_LEVEL, claimed=0.1)
    assert nothing.lower == 0


def test_delta_costs_something() -> None:
    guesses = {"canaries": 1000, "guesses": 200, "correct": 180, "level": 1e-3}
    assert one_run_epsilon(**guesses, delta=1e-5) < one_run_epsilon(**guesses, delta=0.0)
