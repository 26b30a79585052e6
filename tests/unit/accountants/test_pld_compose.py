"""One Fourier transform against exact convolution, and each stated error against fifty digits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

from dpgen.accountants.pld import compose as module
from dpgen.accountants.pld.compose import Composition, Window, compose
from dpgen.accountants.pld.discretise import LOSS_ERROR, GridLaw
from dpgen.accountants.pld.quadrature import EXCESS_ERROR

Laws = Sequence[tuple[GridLaw, int]]
H = 0.125


def law(mass: Sequence[float], first: int, *, origin: float = 0.0, infinite: float = 0.0) -> GridLaw:
    total = sum(mass)
    return GridLaw(origin, first, np.array(mass) * ((1 - infinite) / total), infinite, 0.0, 0.0)


def random_law(seed: int, cells: int = 7, *, infinite: float = 0.0) -> GridLaw:
    random = np.random.default_rng(seed)
    mass = np.exp(random.uniform(-12, 0, cells))
    # tilted towards what a loss looks like: its mean under the other law is at most 1
    return law(list(mass), int(random.integers(-4, 1)), origin=float(random.uniform(0, H)), infinite=infinite)


def exact_law(laws: Laws) -> tuple[dict[int, Any], float, Any]:
    """Masses by index, the offset, the infinite mass: by plain convolution."""
    whole, offset, finite = {0: mpmath.mpf(1)}, mpmath.mpf(0), mpmath.mpf(1)
    for one, count in laws:
        offset += count * mpmath.mpf(one.origin)
        finite *= (1 - mpmath.mpf(one.infinite)) ** count
        for _ in range(count):
            grown: dict[int, Any] = {}
            for index, mass in whole.items():
                for k, share in enumerate(one.mass):
                    if share:
                        at = index + one.first + k
                        grown[at] = grown.get(at, 0) + mass * mpmath.mpf(float(share))
            whole = grown
    return whole, offset, 1 - finite


def exact_delta(whole: dict[int, Any], offset: Any, infinite: Any, epsilon: float) -> Any:
    over = [(mass, offset + index * mpmath.mpf(H) - mpmath.mpf(epsilon)) for index, mass in whole.items()]
    return infinite + mpmath.fsum(mass * -mpmath.expm1(-s) for mass, s in over if s > 0)


def window_of(whole: dict[int, Any], offset: Any, tilt: float, share: float = 1.0) -> Window:
    """Over all of the composed law, or the middle `share` of it."""
    low, high = min(whole), max(whole)
    middle, reach = (low + high) / 2, (high - low) / 2 * share
    cells = 2 * math.ceil(reach) + 3
    return Window(float(offset) + (math.floor(middle - reach) - 1) * H, H, cells, tilt, tilt - 0.7, tilt + 0.7)


CASES: dict[str, tuple[Laws, float]] = {
    "one law": ([(random_law(1), 5)], 2.0),
    "one release each": ([(random_law(2), 1), (random_law(3), 1)], 4.0),
    "three laws": ([(random_law(4), 3), (random_law(5, 3), 7), (random_law(6, 12), 2)], 1.5),
    "infinite losses": ([(random_law(7, infinite=1e-6), 4), (random_law(8, infinite=0.1), 1)], 3.0),
    "hardly tilted": ([(random_law(9), 6)], 0.05),
    "strongly tilted": ([(random_law(10), 6)], 40.0),
    "many": ([(random_law(11, 5), 60)], 1.0),
}
every_case = pytest.mark.parametrize(("laws", "tilt"), CASES.values(), ids=CASES.keys())


@every_case
@pytest.mark.parametrize("share", [1.0, 0.6, 0.3], ids=["whole", "cut", "cut hard"])
def test_divergences_are_enclosed(laws: Laws, tilt: float, share: float) -> None:
    with mpmath.workdps(40):
        whole, offset, infinite = exact_law(laws)
        found = compose(laws, window_of(whole, offset, tilt, share))
        low, high = float(offset) + min(whole) * H, float(offset) + max(whole) * H
        for epsilon in np.linspace(low - 1, high + 0.5, 60):
            true = exact_delta(whole, offset, infinite, float(epsilon))
            above, below = found.delta_above(float(epsilon)), found.delta_below(float(epsilon))
            assert below <= true * (1 + mpmath.mpf(10) ** -15)
            assert above >= min(1, true) * (1 - mpmath.mpf(10) ** -15)


@every_case
def test_the_enclosure_is_narrow_where_nothing_is_cut(laws: Laws, tilt: float) -> None:
    """At losses that are likely once tilted, only rounding is left."""
    with mpmath.workdps(40):
        whole, offset, infinite = exact_law(laws)
        found = dataclasses.replace(compose(laws, window_of(whole, offset, tilt)), folded=0.0, lost_above=0.0)
        epsilon = float(found.losses[int(np.argmax(found.tilted))]) - H / 3
        true = float(exact_delta(whole, offset, infinite, epsilon))
        assert found.delta_above(epsilon) == pytest.approx(true, rel=1e-7)
        assert found.delta_below(epsilon) == pytest.approx(true, rel=1e-7)


# --- each stated error, against the same composition in fifty digits --------------------------------------------------
def exact_tilted(laws: Laws, found: Composition, window: Window) -> list[Any]:
    """What `tilted` would be without any rounding: by discrete Fourier transforms of the exact masses, powered."""
    n = window.cells
    roots = [mpmath.expjpi(mpmath.mpf(-2 * k) / n) for k in range(n)]
    tilt, spectrum, first, offset = mpmath.mpf(window.tilt), [mpmath.mpf(1)] * n, 0, mpmath.mpf(0)
    for one, count in laws:
        weights = [
            mpmath.mpf(float(mass)) * mpmath.exp(tilt * (one.first + k) * mpmath.mpf(window.h))
            for k, mass in enumerate(one.mass)
        ]
        total = mpmath.fsum(weights)
        for k in range(n):
            value = mpmath.fsum(w * roots[(j * k) % n] for j, w in enumerate(weights)) / total
            spectrum[k] *= value**count
        first += count * one.first
        offset += count * mpmath.mpf(one.origin)
    masses = [mpmath.re(mpmath.fsum(spectrum[k] / roots[(j * k) % n] for k in range(n))) / n for j in range(n)]
    start = round(float((mpmath.mpf(float(found.losses[0])) - offset) / mpmath.mpf(window.h)))
    return [masses[(start + i - first) % n] for i in range(n)]


STEPS = (1, 3, 100, 10**4, 10**6, 10**9)


@pytest.mark.parametrize("count", STEPS)
@pytest.mark.parametrize("seed", [12, 13])
def test_the_transform_errs_by_no_more_than_stated(seed: int, count: int) -> None:
    one = _narrow(seed, count)
    window = Window(_mean(one, 3.0) * count - 32 * H, H, 64, 3.0, 2.3, 3.7)
    found = compose([(one, count)], window)
    with mpmath.workdps(50):
        exact = exact_tilted([(one, count)], found, window)
        error = mpmath.sqrt(
            mpmath.fsum((mpmath.mpf(float(a)) - b) ** 2 for a, b in zip(found.tilted, exact, strict=True))
        )
        size = mpmath.sqrt(mpmath.fsum(b * b for b in exact))
        assert size > 1e-3  # there is something to be wrong about
        assert error <= found.l2_error + (found.relative_error * size)
        weights = [mpmath.mpf(float(mass)) * mpmath.exp(3 * _loss(one, k)) for k, mass in enumerate(one.mass)]
        log_z = mpmath.log(mpmath.fsum(weights))
        assert abs(mpmath.exp(found.log_scale - count * log_z) - 1) <= found.relative_error


def test_the_transform_alone_errs_by_less_than_stated_for_it() -> None:
    """Masses that floats hold exactly, so that only the transforms round."""
    one = GridLaw(0.0, 0, np.array([0.25, 0.5, 0.125, 0.125]), 0.0, 0.0, 0.0)
    for count in (1, 50, 1000):
        window = Window(1.0, H, 100, 1e-12, -0.5, 0.5)
        found = compose([(one, count)], window)
        with mpmath.workdps(50):
            exact = exact_tilted([(one, count)], found, window)
            errors = [mpmath.mpf(float(a)) - b for a, b in zip(found.tilted, exact, strict=True)]
            assert 0 < mpmath.sqrt(mpmath.fsum(e * e for e in errors)) <= found.l2_error


@pytest.mark.parametrize("share", [0.6, 0.35, 0.2])
@pytest.mark.parametrize("seed", [14, 15, 16])
def test_what_lies_outside_the_window_is_no_more_than_stated(seed: int, share: float) -> None:
    laws = [(random_law(seed, 9), 12)]
    with mpmath.workdps(40):
        whole, offset, _ = exact_law(laws)
        tilt = 2.0
        window = window_of(whole, offset, tilt, share)
        found = compose(laws, window)
        losses = {k: offset + k * mpmath.mpf(H) for k in whole}
        tilted = {k: mass * mpmath.exp(tilt * losses[k] - found.log_scale) for k, mass in whole.items()}
        low, high = found.losses[0] - H / 2, found.losses[-1] + H / 2
        outside = mpmath.fsum(mass for k, mass in tilted.items() if not low < losses[k] < high)
        above = mpmath.fsum(mass for k, mass in whole.items() if losses[k] > high)
        assert 0 < outside <= found.folded
        assert above <= found.lost_above


def _narrow(seed: int, count: int) -> GridLaw:
    """A law whose `count`-fold composition still fits into 64 cells."""
    rare = min(0.4, 8.0 / count)
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(4)) * rare
    return GridLaw(0.0, -2, np.array([shares[0], shares[1], 1 - rare, shares[2], shares[3]]), 0.0, 0.0, 0.0)


def _loss(one: GridLaw, k: int) -> Any:
    return mpmath.mpf(one.origin) + (one.first + k) * mpmath.mpf(H)


def _mean(one: GridLaw, tilt: float) -> float:
    steps = (one.first + np.arange(len(one.mass))) * H
    weights = one.mass * np.exp(tilt * steps)
    return float(weights @ steps / weights.sum())


# --- what the laws say of their own errors, for each release ----------------------------------------------------------
def is_enclosed(exact: GridLaw, one: GridLaw, count: int = 8) -> bool:
    """Is the divergence of `exact` within the bounds composed from `one`, where these are narrowest?"""
    with mpmath.workdps(40):
        whole, offset, infinite = exact_law([(exact, count)])
        found = compose([(one, count)], window_of(whole, offset, 2.0))
        found = dataclasses.replace(found, folded=0.0, lost_above=0.0)  # nothing is cut: all of it lies in the window
        epsilon = float(found.losses[int(np.argmax(found.tilted))]) - H / 3
        true = float(exact_delta(whole, offset, infinite, epsilon))
    assert 0.01 < true < 0.99
    return found.delta_below(epsilon) <= true <= found.delta_above(epsilon)


@pytest.mark.parametrize("sign", [-1, 1])
def test_masses_may_be_off_by_what_their_law_says(sign: int) -> None:
    error, one = 1e-6, random_law(21)
    off = dataclasses.replace(one, mass=one.mass * (1 + sign * error * (1 - 1e-6)))
    assert is_enclosed(off, dataclasses.replace(one, mass_error=error))
    assert not is_enclosed(off, one)


@pytest.mark.parametrize("sign", [-1, 1])
def test_losses_may_be_off_by_what_their_law_says(sign: int) -> None:
    scale, one = 1e8, random_law(22)
    off = dataclasses.replace(one, origin=one.origin + sign * LOSS_ERROR * scale)
    assert is_enclosed(off, dataclasses.replace(one, loss_scale=scale))
    assert not is_enclosed(off, one)


def test_every_release_adds_the_errors_of_its_law_to_those_of_the_composition() -> None:
    laws = [dataclasses.replace(random_law(seed), mass_error=1e-9, loss_scale=1e6) for seed in (23, 24)]
    window = Window(-40 * H, H, 128, 2.0, 1.3, 2.7)
    found = compose([(laws[0], 3), (laws[1], 5)], window)
    assert math.expm1(8e-9) <= found.relative_error <= 1.001 * math.expm1(8e-9)
    assert 8 * LOSS_ERROR * 1e6 <= found.loss_error <= 1.001 * 8 * LOSS_ERROR * 1e6
    exact = compose([(random_law(23), 8)], window)  # laws of no error: what is left is the quadrature's, and rounding
    assert exact.loss_error >= 8 * EXCESS_ERROR * math.expm1(H)


# --- the stated errors are used ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("field", ["l2_error", "folded", "relative_error", "loss_error"])
def test_every_error_widens_both_bounds(field: str) -> None:
    laws, tilt = CASES["three laws"]
    with mpmath.workdps(30):
        whole, offset, _ = exact_law(laws)
    found = compose(laws, window_of(whole, offset, tilt))
    worse = dataclasses.replace(found, **{field: getattr(found, field) + 1e-3})
    assert worse.delta_above(1.0) > found.delta_above(1.0)
    assert worse.delta_below(1.0) < found.delta_below(1.0)


def test_more_infinite_and_more_lost_mass_cost_more() -> None:
    laws, tilt = CASES["infinite losses"]
    with mpmath.workdps(30):
        whole, offset, infinite = exact_law(laws)
        found = compose(laws, window_of(whole, offset, tilt))
        assert found.infinite == pytest.approx(float(infinite), rel=1e-13)
    at = float(found.losses[-3])
    more = dataclasses.replace(found, lost_above=found.lost_above + 0.01)
    assert more.delta_above(at) == pytest.approx(found.delta_above(at) + 0.01)
    assert found.delta_above(50.0) >= found.infinite


def test_a_power_of_a_billion_stays_on_the_disk() -> None:
    angle = np.linspace(0, 3, 50)
    found = module._power(np.ones(50), angle, 10**9)
    assert (np.abs(found) <= 1 + 1e-12).all()
    with mpmath.workdps(40):
        exact = [mpmath.expj(10**9 * mpmath.mpf(float(one))) for one in angle]
        assert all(abs(complex(a) - b) <= 1e9 * 4 * np.finfo(float).eps for a, b in zip(found, exact, strict=True))


def test_folding_keeps_mass() -> None:
    masses = np.arange(1.0, 24.0)
    folded = module._fold(masses, 5)
    assert folded.sum() == masses.sum()
    assert folded[2] == masses[2::5].sum()


def test_a_factor_that_no_double_holds_is_not_cut_from_an_upper_bound() -> None:
    # e^(800 - 0.5) times a mass of 1e-320 is far above 1; with the exponent cut at 700 it would read 1e-17
    fields = dict.fromkeys((field.name for field in dataclasses.fields(Composition)), 0.0)
    huge = Composition(
        **{
            **fields,
            "tilt": 1.0,
            "losses": np.array([1.0, 2.0]),
            "tilted": np.array([1e-320, 0.0]),
            "log_scale": 800.0,
            "largest": 2.0,
        }
    )
    assert huge.delta_above(0.5) == 1.0
