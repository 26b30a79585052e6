"""The test values T1 to T8 of the theorems, by the shipped accountants and mechanism; and by dp-accounting.

T2 and T3 are why noise of another deviation for each record is refused: no accountant here prices it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import norm
from torch import nn

from dpgen.accountants import GdpAccountant, PldAccountant, RdpAccountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.accountants.rdp.curves import rdp_curve
from dpgen.accountants.shuffling import shuffled_epsilon
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget
from dpgen.events import AggregatePosterior, EpsilonDelta, Gaussian, OnShards
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, Provenance, code_separation, output_separation

PLD, GDP = PldAccountant(), GdpAccountant()
KINDS = {"remove": ADD_OR_REMOVE_ONE, "replace": REPLACE_ONE}


SLOW = pytest.mark.slow


def between(bound, expected, rel=1e-3, width=5e-4):
    """The certified enclosure holds `expected`, to the digits of the table, and is no wider than pld promises."""
    assert bound.lower <= expected * (1 + rel) + 1e-12
    assert bound.upper >= expected * (1 - rel) - 1e-12
    assert bound.upper - bound.lower <= width + 10 * rel * expected


def gaussian(theta):
    """One code of each record, under replace-one."""
    mechanism = LipschitzVaeSampling(
        encoder=nn.Identity(),
        weights=Provenance.public("test"),
        dimension=2,
        clip_radius=theta / 2,
        deviation=1.0,
        mode="record",
    )
    return mechanism.event(REPLACE_ONE)


@pytest.mark.parametrize(
    ("theta", "at_five", "at_six", "delta"),
    [
        (0.25, 0.9263415040, 1.0607018623, 2.9242721048e-06),
        (0.5, 1.9930914044, 2.2540846502, 0.0068295949831),
        (1, 4.3771780957, 4.8865541175, 0.1269367375066),
        (2, 9.9972561464, 10.9971512142, 0.5098616600547),
        (3, 16.6754944028, 18.1634457591, 0.7876007413604),
        (28, 510.4864466543, 524.1725139056, 1.0),
    ],
)
def test_t1_one_record(theta, at_five, at_six, delta):
    event = gaussian(theta)
    for level, expected in ((1e-5, at_five), (1e-6, at_six)):
        assert GDP.epsilon(event, delta=level, relation=REPLACE_ONE).upper == pytest.approx(expected, rel=1e-7)
    assert GDP.delta(event, epsilon=1.0, relation=REPLACE_ONE).upper == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize(
    ("epsilon", "theta"), [(1, 0.2680511232), (3, 0.7191174352), (8, 1.6660305978), (10, 2.0004456204)]
)
def test_t1_inverse(epsilon, theta):
    found = calibrate(GDP, Budget(epsilon, 1e-5, REPLACE_ONE), Gaussian)
    assert 2 / found == pytest.approx(theta, rel=1e-3)


def test_t1_five_codes_of_one_record():
    five = Gaussian(2 / (math.sqrt(5) * 0.2))
    assert GDP.epsilon(five, delta=1e-5, relation=REPLACE_ONE).upper == pytest.approx(1.7600571495, rel=1e-9)


def renyi(order, shift, first, second):
    """Of N(shift, first^2) against N(0, second^2): infinite beyond an order, which is what refuses a general price."""
    variance = order * second**2 + (1 - order) * first**2
    if variance <= 0:
        return math.inf
    logs = math.log(variance) - (1 - order) * math.log(first**2) - order * math.log(second**2)
    return order * shift**2 / (2 * variance) - logs / (2 * (order - 1))


@pytest.mark.parametrize(
    ("order", "shift", "first", "second", "expected"),
    [
        (2, 1, 1, 1, 1),
        (2, 0.5, 1.1, 1, 0.3390066831587),
        (4, 0.5, 1.1, 1, 1.4217498837710),
        (2, 0.5, 1, 1.1, 0.1913482618302),
        (8, 1, 1.05, 1, 14.2007930661),
        (1.5, 0, 1.3, 1, 0.1607557768794),
        (6, 0, 1.1, 1, math.inf),
    ],
)
def test_t2_unequal_deviations(order, shift, first, second, expected):
    assert renyi(order, shift, first, second) == pytest.approx(expected, rel=2e-8)
    if math.isfinite(expected):
        moment, _ = integrate.quad(
            lambda z: math.exp(order * norm.logpdf(z, shift, first) + (1 - order) * norm.logpdf(z, 0, second)),
            -60,
            60,
            points=[shift, 0, shift * order],
            limit=400,
        )
        assert math.log(moment) / (order - 1) == pytest.approx(expected, rel=1e-6)
    if first == second:  # the only case that the mechanism offers, and the accountant prices
        assert rdp_curve(Gaussian(2 / shift), (float(order),), REPLACE_ONE)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("order", "distance", "least", "ratio", "expected"),
    [
        (2, 1, 1, 0, 1),
        (2, 1, 1, 0.1, 1.3094917803),
        (4, 1, 1, 0.1, 6.0379502733),
        (8, 0.5, 1, 0.05, 3.8358813974),
    ],
)
def test_t2_theorem_of_varying_deviation(order, distance, least, ratio, expected):
    room = order - (order - 1) * math.exp(2 * ratio)
    bound = order * distance**2 / (2 * least**2 * room) - math.log(room) / (2 * (order - 1)) - ratio
    assert bound == pytest.approx(expected, rel=1e-9)
    generator = np.random.default_rng(0)
    for _ in range(300):  # never below what two coordinates give
        logs, means = (v / np.linalg.norm(v) for v in generator.normal(size=(2, 2)))
        logs, means = logs * ratio * generator.uniform(), means * distance
        value = sum(
            renyi(order, m, least * math.exp(max(t, 0)), least * math.exp(max(-t, 0)))
            for t, m in zip(logs, means, strict=True)
        )
        assert value <= bound * (1 + 1e-12)


@pytest.mark.parametrize(
    ("epsilon", "shift", "first", "second", "expected"),
    [
        (1, 0.5, 1.2, 1, 0.0439231382032),
        (1, 0, 1.5, 1, 0.0671553213327),
        (0.5, 0.5, 1.1, 1, 0.0739798783746),
        (1, 0, 1, 1.5, 0.0),
    ],
)
def test_t3_equal_means_do_not_hide_unequal_deviations(epsilon, shift, first, second, expected):
    grid = np.linspace(-25, 25, 2_000_001)
    gap = norm.pdf(grid, shift, first) - math.exp(epsilon) * norm.pdf(grid, 0, second)
    assert np.trapezoid(np.maximum(gap, 0), grid) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("records", "theta", "epsilon", "price", "delta"),
    [
        (10, 1, 1, 0.1585650787404, 0.0126936737507),
        (60000, 2, 8, 0.0484719863664, 8.256695649e-09),
        (100, 3, 4, 0.4291695905979, 0.0044042976279),
    ],
)
def test_t4_one_draw(records, theta, epsilon, price, delta):
    found = PLD.delta(AggregatePosterior(records, 1, theta), epsilon=price, relation=REPLACE_ONE)
    between(found, delta, rel=1e-6)
    assert math.log1p(math.expm1(epsilon) / records) == pytest.approx(price, rel=1e-12)


@pytest.mark.parametrize(
    ("relation", "deltas"),
    [
        (REPLACE_ONE, (0.0382924923, 0.0184719307, 0.0020325369, 0.00020712149)),
        (ADD_OR_REMOVE_ONE, (0.0348113566, 0.0157715847, 0.0015342670, 0.00014371273)),
    ],
)
def test_t4_profile_of_one_draw(relation, deltas):
    for epsilon, expected in zip((0, 0.1, 0.5, 1), deltas, strict=True):
        between(PLD.delta(AggregatePosterior(10, 1, 1.0), epsilon=epsilon, relation=relation), expected, rel=1e-6)


T5 = [
    (10, 5, 1, "remove", 1.08447, 2.19895, (0.0593937, 0.0110953, 0.00141200)),
    (10, 5, 1, "replace", 1.22533, 2.38456, (0.0810552, 0.0168748, 0.00239925)),
    pytest.param(100, 100, 1, "remove", 0.336670, 0.710796, (0.0186691, 1.18886e-4, 6.1748e-7), marks=SLOW),
    (100, 100, 1, "replace", 0.395363, 0.768007, (0.0291025, 2.57024e-4, 9.8670e-7)),
    (1000, 1000, 1, "remove", 0.070528, 0.148738, (2.037e-4,)),
    (1000, 1000, 1, "replace", 0.093022, 0.179687, (7.325e-4,)),
    pytest.param(1000, 1000, 2, "remove", 1.16786, 3.23726, (0.0419472, 0.00695066, 0.00152872), marks=SLOW),
    pytest.param(1000, 1000, 2, "replace", 1.22204, 3.28599, (0.0627681, 0.00920791, 0.00178137), marks=SLOW),
]


@pytest.mark.parametrize(("records", "draws", "theta", "kind", "at_three", "at_five", "deltas"), T5)
def test_t5_many_draws(records, draws, theta, kind, at_three, at_five, deltas):
    event, relation = AggregatePosterior(records, draws, theta), KINDS[kind]
    for level, expected in ((1e-3, at_three), (1e-5, at_five)):
        found = PLD.epsilon(event, delta=level, relation=relation)
        if relation is REPLACE_ONE:  # the table has the upper bound, the lower end is another pair's
            assert found.upper == pytest.approx(expected, rel=1e-3, abs=6e-4)
        else:
            between(found, expected)
    for epsilon, expected in zip((0.1, 0.5, 1.0), deltas, strict=False):
        found = PLD.delta(event, epsilon=epsilon, relation=relation)
        assert found.upper == pytest.approx(expected, rel=1e-2)
        assert found.lower <= expected <= found.upper * (1 + 1e-3)


@pytest.mark.parametrize(
    ("records", "draws", "theta", "add_remove", "replace"),
    [
        (1000, 100, 1, 0.055101, 0.059935),
        (1000, 1000, 0.5, 0.049932, 0.058226),
        (60000, 60000, 0.5, 0.0048499, 0.0058391),
        (60000, 60000, 1, 0.0136756, 0.0182253),
        pytest.param(60000, 60000, 2, 0.317542, 0.322149, marks=SLOW),
        pytest.param(60000, 60000, 2.5, 2.3222, 2.3307, marks=SLOW),
        pytest.param(60000, 60000, 3, 5.80, 5.84, marks=SLOW),
        pytest.param(60000, 60000, 4, 17.7, 17.9, marks=SLOW),
        (60000, 10000, 2, 0.145844, 0.147182),
        pytest.param(60000, 10000, 3, 4.4236, 4.4294, marks=SLOW),
        pytest.param(60000, 600000, 2, 0.722949, 0.751583, marks=SLOW),
    ],
)
def test_t5_large_sets(records, draws, theta, add_remove, replace):
    event = AggregatePosterior(records, draws, theta)
    for relation, expected in ((ADD_OR_REMOVE_ONE, add_remove), (REPLACE_ONE, replace)):
        found = PLD.epsilon(event, delta=1e-5, relation=relation)
        # of theta >= 3 the table has three digits, and the rarest draw's loss is wide
        assert found.upper == pytest.approx(expected, rel=2e-3 if theta < 3 else 1.2e-2, abs=6e-4)
    if (theta, draws) == (2, 10000):  # no promise costs about one percent
        unpromised = PLD.epsilon(OnShards(event), delta=1e-5, relation=ADD_OR_REMOVE_ONE).upper
        assert unpromised == pytest.approx(replace, rel=2e-3)


@SLOW
@pytest.mark.parametrize(
    ("records", "draws", "theta"),
    [(60000, 60000, 2.2444), (60000, 10000, 2.4038), (10000, 10000, 1.9568), (1000, 1000, 1.5604)],
)
def test_t5_largest_separation_of_epsilon_one(records, draws, theta):
    just, above = (
        PLD.epsilon(AggregatePosterior(records, draws, t), delta=1e-5, relation=ADD_OR_REMOVE_ONE).upper
        for t in (theta * 0.999, theta * 1.001)
    )
    assert just <= 1.0 < above


def test_t5_by_renyi_divergences():
    one = rdp_curve(AggregatePosterior(10, 1, 1.0), (2.0, 4.0, 8.0), ADD_OR_REMOVE_ONE)
    assert one == pytest.approx([0.0141007912, 0.0466005657, 1.2706197209], rel=1e-8)
    accountant = RdpAccountant()
    table = ((1000, 1000, 1, 0.744306), (60000, 60000, 1, 0.397267), (60000, 60000, 2, 2.25977))
    for records, draws, theta, expected in table:
        event = AggregatePosterior(records, draws, theta)
        found = accountant.epsilon(event, delta=1e-5, relation=ADD_OR_REMOVE_ONE).upper
        if theta == 1:
            assert PLD.epsilon(event, delta=1e-5, relation=ADD_OR_REMOVE_ONE).upper < found / 2  # rare large losses
        assert 0.1 * expected < found <= expected  # the conversion here is a better one than that of the table


def test_t5_add_remove_is_dp_accountings_poisson_pair_at_one_over_n_plus_one():
    accounting = pytest.importorskip("dp_accounting")
    from dp_accounting.pld import PLDAccountant

    peer = PLDAccountant(accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    inner = accounting.PoissonSampledDpEvent(1 / 101, accounting.GaussianDpEvent(1.0))
    peer.compose(accounting.SelfComposedDpEvent(inner, 100))
    ours = PLD.epsilon(AggregatePosterior(100, 100, 1.0), delta=1e-5, relation=ADD_OR_REMOVE_ONE)
    assert ours.upper == pytest.approx(peer.get_epsilon(1e-5), rel=1e-3)


@pytest.mark.parametrize(
    ("distance", "sigma", "tau", "lipschitz", "theta", "delta"),
    [
        (1, 1, 1, 1, 0.707107, 0.1237249),
        (2, 0.5, 1, 1, 1.788854, 0.5325024),
        (1, 0.3, 0.5, 1, 1.714986, 0.5077498),
        (1, 1, 1, 0.5, 0.447214, 0.0373988),
    ],
)
def test_t6_output_noise(distance, sigma, tau, lipschitz, theta, delta):
    found = output_separation(distance / 2, deviation=sigma, output_deviation=tau, lipschitz=lipschitz)
    assert found == pytest.approx(theta, rel=1e-6)
    assert GDP.delta(Gaussian(2 / found), epsilon=0.5, relation=REPLACE_ONE).upper == pytest.approx(delta, rel=1e-5)


def test_t6_corollaries():
    plain = code_separation(0.5, 2.0)
    assert output_separation(0.5, deviation=2.0, output_deviation=1e-9, lipschitz=1.0) == pytest.approx(plain)
    assert output_separation(0.5, deviation=0.0, output_deviation=4.0, lipschitz=3.0) == pytest.approx(0.75)
    strayed = output_separation(0.5, deviation=2.0, output_deviation=1.0, lipschitz=1.0, execution_error=0.1)
    assert strayed > output_separation(0.5, deviation=2.0, output_deviation=1.0, lipschitz=1.0)


@pytest.mark.parametrize(("pure", "expected"), [(1, 0.0927500776), (2, 0.2345750350)])
def test_t7_shuffling(pure, expected):
    assert shuffled_epsilon(EpsilonDelta(pure, 0), records=60000, delta=1e-6) == pytest.approx(expected, rel=1e-9)
    assert shuffled_epsilon(EpsilonDelta(pure, 0), records=10, delta=1e-6) == pure  # too few to hide among


@pytest.mark.parametrize(("draws", "expected"), [(60000, 0.632124), (100, 0.00166529), (1, 1.66667e-5)])
def test_t8_codes_that_tell_everything(draws, expected):
    """delta at epsilon 0 is 1 - (1 - 1/n)^m however little noise there is: far above 1/n, no guarantee (R14)."""
    found = PLD.delta(AggregatePosterior(60000, draws, 15.0), epsilon=0.0, relation=REPLACE_ONE)
    assert found.upper == pytest.approx(expected, rel=1e-3)
