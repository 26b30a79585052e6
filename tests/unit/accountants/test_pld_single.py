"""One release without a grid, against closed forms in mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest

from dpgen.accountants import GdpAccountant, PldAccountant, RdpAccountant
from dpgen.accountants.pld.opposite import OppositeGaussianPair
from dpgen.accountants.pld.pair import Pair, SampledPair
from dpgen.accountants.pld.replaced import ReplacedPair
from dpgen.accountants.pld.shift import GaussianShift, LaplaceShift, discrete_gaussian_shift, randomised_response
from dpgen.accountants.pld.single import single_delta, single_epsilon
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.events import Composed, Gaussian, SelfComposed

WIDTH = 1e-9


def gaussian(mu: float, q: float = 1.0) -> Callable[[Any], Any]:
    """q H_e'(N(mu), N(0)) at e^e' = 1 + (e^e - 1) / q: Balle, Barthe, Gaboardi 2018, theorem 2."""

    def delta(epsilon: Any) -> Any:
        inner, m = mpmath.log1p(mpmath.expm1(epsilon) / q), mpmath.mpf(mu)
        return q * (mpmath.ncdf(m / 2 - inner / m) - mpmath.exp(inner) * mpmath.ncdf(-m / 2 - inner / m))

    return delta


def laplace(scale: float, q: float = 1.0) -> Callable[[Any], Any]:
    """1 - e^((epsilon - 1 / scale) / 2), below 1 / scale."""

    def delta(epsilon: Any) -> Any:
        inner = mpmath.log1p(mpmath.expm1(epsilon) / q)
        return q * max(mpmath.mpf(0), -mpmath.expm1((inner - 1 / mpmath.mpf(scale)) / 2))

    return delta


def response(pure: float, revealed: float) -> Callable[[Any], Any]:
    def delta(epsilon: Any) -> Any:
        likely = (1 - mpmath.mpf(revealed)) / (1 + mpmath.exp(-mpmath.mpf(pure)))
        return revealed + likely * max(mpmath.mpf(0), -mpmath.expm1(epsilon - pure))

    return delta


def discrete(scale: float) -> Callable[[Any], Any]:
    def delta(epsilon: Any) -> Any:
        variance = mpmath.mpf(scale) ** 2
        weights = {x: mpmath.exp(-mpmath.mpf(x * x) / (2 * variance)) for x in range(-300, 301)}
        total, growth = mpmath.fsum(weights.values()), mpmath.exp(epsilon)
        return mpmath.fsum(max(0, w - growth * weights.get(x - 1, 0)) for x, w in weights.items() if x > -300) / total

    return delta


CASES: dict[str, tuple[Pair, Callable[[Any], Any]]] = {
    "gaussian": (SampledPair(GaussianShift(1.3), 1.0, removing=True), gaussian(1.3)),
    "faint gaussian": (SampledPair(GaussianShift(1e-4), 1.0, removing=True), gaussian(1e-4)),
    "sampled": (SampledPair(GaussianShift(1.0), 0.01, removing=True), gaussian(1.0, 0.01)),
    "rarely sampled": (SampledPair(GaussianShift(2.0), 1e-8, removing=True), gaussian(2.0, 1e-8)),
    "laplace": (SampledPair(LaplaceShift(0.4), 1.0, removing=True), laplace(0.4)),
    "sampled laplace": (SampledPair(LaplaceShift(0.4), 0.03, removing=True), laplace(0.4, 0.03)),
    "response": (SampledPair(randomised_response(1.5, 1e-3), 1.0, removing=True), response(1.5, 1e-3)),
    "discrete": (SampledPair(discrete_gaussian_shift(1.7, 1), 1.0, removing=True), discrete(1.7)),
    "opposite, always there": (OppositeGaussianPair(0.8, 1.0), gaussian(1.6)),
    "replaced": (ReplacedPair(GaussianShift(2.0), 0.05), gaussian(2.0, 0.05)),
}
every_case = pytest.mark.parametrize(("pair", "delta"), CASES.values(), ids=CASES.keys())


@every_case
@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.03, 0.7, 1.3])
def test_delta(pair: Pair, delta: Callable[[Any], Any], epsilon: float) -> None:
    lower, upper = single_delta(pair, epsilon)
    with mpmath.workdps(60):
        true = delta(mpmath.mpf(epsilon))
        assert lower <= true <= upper + mpmath.mpf(10) ** -300
        assert upper - lower <= 1e-9 * float(true) + 1e-12


@every_case
@pytest.mark.parametrize("at", [0.4, 1e-3, 1e-8, 1e-13])
def test_epsilon(pair: Pair, delta: Callable[[Any], Any], at: float) -> None:
    lower, upper = single_epsilon(pair, at)
    assert 0 <= lower <= upper
    with mpmath.workdps(60):
        if math.isinf(upper):
            assert delta(mpmath.mpf(500)) >= at
            return
        assert delta(mpmath.mpf(upper)) <= at
        assert lower == 0 or delta(mpmath.mpf(lower)) >= at
    assert upper - lower <= 3 * WIDTH * (1 + upper)


def test_both_ends_of_a_curve() -> None:
    pair = CASES["response"][0]
    assert single_epsilon(pair, 0.9) == (0.0, 0.0)
    assert single_epsilon(pair, 1e-4)[1] == math.inf
    assert single_delta(pair, 700.0)[1] >= 1e-3


# --- plain Gaussians alone --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
@pytest.mark.parametrize("noise", [0.5, 3.0, 40.0])
def test_the_integral_and_the_closed_form_agree(noise: float, relation: NeighboringRelation) -> None:
    event = Composed((SelfComposed(Gaussian(3 * noise), 7), Gaussian(noise)))
    integral, formula = PldAccountant(closed_form=False), GdpAccountant()
    for found, known in (
        (integral.epsilon(event, delta=1e-6, relation=relation), formula.epsilon(event, delta=1e-6, relation=relation)),
        (integral.delta(event, epsilon=0.3, relation=relation), formula.delta(event, epsilon=0.3, relation=relation)),
    ):
        assert found.lower <= known.upper
        assert known.lower <= found.upper
        assert found.upper - found.lower <= 1e-8
        assert found != known


def test_an_integral_that_would_be_too_large_is_left_to_rdp() -> None:
    event = Gaussian(1 / 400)
    found = PldAccountant(closed_form=False).epsilon(event, delta=1e-6, relation=ADD_OR_REMOVE_ONE)
    proved = RdpAccountant().epsilon(event, delta=1e-6, relation=ADD_OR_REMOVE_ONE)
    assert (found.lower, found.kind) == (0.0, "bound")
    assert found.upper == pytest.approx(proved.upper, rel=1e-8)


@pytest.mark.parametrize("noise", [0.5, 3.0, 40.0])
def test_the_rounding_of_merged_parameters_is_added_to_the_closed_form(noise: float) -> None:
    """One part in 10^12 to either side of what `gdp` finds for the parameters as they are."""
    pld, gdp, known = PldAccountant(), GdpAccountant(), {"relation": ADD_OR_REMOVE_ONE}
    for found, exact in (
        (pld.epsilon(Gaussian(noise), delta=1e-6, **known), gdp.epsilon(Gaussian(noise), delta=1e-6, **known)),
        (pld.delta(Gaussian(noise), epsilon=0.1, **known), gdp.delta(Gaussian(noise), epsilon=0.1, **known)),
    ):
        assert found.lower <= exact.lower * (1 - 0.99e-12)
        assert found.upper >= exact.upper * (1 + 0.99e-12)
