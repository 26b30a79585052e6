"""The real mechanism against its theorems, by Monte Carlo: B1 is reached, B2 bounds, the naive pair does not.

Each run calls the mechanism on records whose codes are chosen, and reads the exact privacy loss off what it released.
The keys are fixed, so a right mechanism passes for ever. The law of the released codes is known, so the loss is exact
and only its mean is estimated; every interval is Clopper and Pearson's or, for means in [0, 1], Hoeffding's.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import nn

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.data.datasets import ArrayRecords
from dpgen.events import AggregatePosterior
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, Provenance
from dpgen.noise import SecureNoise
from dpgen.testing.statistics import FalseAlarmBudget

FALSE_ALARMS = FalseAlarmBudget(2e-8, {"means": 8, "choices": 2})
LEVEL = FALSE_ALARMS.level("means")
PLD = PldAccountant()
NOISE = SecureNoise(bytes(range(32))).under("aggregate posterior")


class Table(nn.Module):
    """The code of an image is a row of a table: its brightness says which."""

    def __init__(self, codes: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        row = (255 * images.flatten(1)[:, 0]).round().long().clamp(max=len(self.codes) - 1)
        return self.codes[row]


def mechanism(codes: np.ndarray, *, records: int, draws: int, theta: float) -> LipschitzVaeSampling:
    """Deviation 1, codes clipped to the ball of radius theta / 2."""
    return LipschitzVaeSampling(
        encoder=Table(codes),
        weights=Provenance.public("a table"),
        dimension=codes.shape[1],
        clip_radius=theta / 2,
        deviation=1.0,
        draws=draws,
        minimum_records=records,
    )


def releases(sampling: LipschitzVaeSampling, rows: list[int], *, runs: int, relation: NeighboringRelation, step: int):
    """Many runs at once: `[runs, draws, dimension]`. Draws are independent, so one long run is many short ones."""
    images = torch.tensor(rows, dtype=torch.uint8).view(-1, 1, 1, 1)
    records = ArrayRecords(images, torch.zeros(len(rows), dtype=torch.int64))
    long = dataclasses.replace(sampling, draws=runs * sampling.draws)
    codes = long._measure(records, noise=NOISE.under(str(step)), relation=relation, context=RunContext())
    return codes.numpy().reshape(runs, sampling.draws, -1)


def log_density(points: np.ndarray, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of the mixture, summed over the draws of each run, without the constant."""
    squares = ((points[:, :, None, :] - means) ** 2).sum(-1)
    return logsumexp(-squares / 2, b=weights, axis=2).sum(1)


def delta_of(points: np.ndarray, first, second, epsilon: float) -> tuple[float, float]:
    """E_P max(0, 1 - e^(epsilon - loss)) over runs that came from P, and how far it may be off (Bernstein's bound)."""
    losses = log_density(points, *first) - log_density(points, *second)
    shares = np.maximum(0.0, -np.expm1(np.minimum(epsilon - losses, 0.0)))
    log, n = math.log(2 / LEVEL), len(shares)  # empirical Bernstein: Maurer and Pontil 2009, theorem 4
    return float(shares.mean()), math.sqrt(2 * shares.var(ddof=1) * log / n) + 7 * log / (3 * (n - 1))


def line(n: int, theta: float, *, removed: bool):
    """n records at one end of the ball, and one more at the other end unless it was removed."""
    means = np.array([[-theta / 2], [theta / 2]])
    weights = np.array([1.0, 0.0]) if removed else np.array([n, 1.0]) / (n + 1)
    return means, weights


def add_or_remove(runs: int, removed_first: bool, epsilons: dict[float, float]) -> None:
    """Ten records, five draws: theorem B1 is exact in both directions, and the larger one is charged."""
    n, draws, theta = 10, 5, 1.0
    sampling = mechanism(np.array([[-theta / 2], [theta / 2]]), records=n, draws=draws, theta=theta)
    rows = [0] * n + ([] if removed_first else [1])
    points = releases(sampling, rows, runs=runs, relation=ADD_OR_REMOVE_ONE, step=10 * removed_first)
    first, second = (line(n, theta, removed=removed) for removed in (removed_first, not removed_first))
    for epsilon, expected in epsilons.items():
        seen, off = delta_of(points, first, second, epsilon)
        price = PLD.delta(sampling.event(ADD_OR_REMOVE_ONE), epsilon=epsilon, relation=ADD_OR_REMOVE_ONE)
        assert abs(seen - expected) <= off
        assert expected <= price.upper * (1 + 1e-4)


@pytest.mark.parametrize("removed_first", [False, True])
def test_add_or_remove_reaches_the_price(removed_first: bool) -> None:
    add_or_remove(2_500, removed_first, {0.1: 0.0417186} if removed_first else {0.1: 0.0593937, 0.5: 0.0110953})


@pytest.mark.statistical_deep
def test_add_or_remove_reaches_the_price_and_the_lower_direction_does_not() -> None:
    add_or_remove(15_000, False, {0.1: 0.0593937})
    with pytest.raises(AssertionError):  # the twin that prices adding alone: 0.0417 for what is 0.0594
        add_or_remove(15_000, False, {0.1: 0.0417186})


def triangle(n: int, theta: float, *, other: bool):
    """Nearly all records at one corner of an equilateral triangle of side theta; one at the second, or at the third."""
    corners = theta / math.sqrt(3) * np.array([[math.cos(t), math.sin(t)] for t in 2 * math.pi * np.arange(3) / 3])
    weights = np.array([n - 1, 1.0, 0.0]) / n
    return corners, weights[[0, 2, 1]] if other else weights


def replaced(n: int, draws: int, epsilon: float, *, runs: int) -> tuple[float, float, float, float]:
    """(seen, how far it may be off, the price of B2, what the naive pair says) for separation 1."""
    theta = 1.0
    corners, _ = triangle(n, theta, other=False)
    sampling = mechanism(corners, records=n, draws=draws, theta=2 * theta / math.sqrt(3))  # the ball holds the triangle
    rows = [0] * (n - 1) + [1]
    points = releases(sampling, rows, runs=runs, relation=REPLACE_ONE, step=20)
    seen, off = delta_of(points, triangle(n, theta, other=False), triangle(n, theta, other=True), epsilon)
    price = PLD.delta(AggregatePosterior(n, draws, theta), epsilon=epsilon, relation=REPLACE_ONE).upper
    naive = PLD.delta(AggregatePosterior(n - 1, draws, theta), epsilon=epsilon, relation=ADD_OR_REMOVE_ONE).upper
    return seen, off, price, naive


def test_replace_one_stays_below_its_price() -> None:
    seen, off, price, _ = replaced(100, 100, 0.1, runs=150)
    assert seen - off <= price


@pytest.mark.statistical_deep
def test_replace_one_exceeds_the_naive_pair() -> None:
    """The trap: the sampled Gaussian's pair, self-composed, is beaten by the mechanism itself; B2 is not."""
    seen, off, price, naive = replaced(10, 100, 0.0, runs=12_000)
    assert naive < seen - off
    assert seen + off < price


def test_every_place_is_chosen_as_often_as_another() -> None:
    ids, draws = np.arange(0, 60, 2), 60_000
    drawn = NOISE.choose(ids, draws=draws, least=40, step=7)
    seen = np.array([(drawn == i).sum() for i in ids] + [(drawn == -1).sum()])
    shares = np.array([1 / 40] * 30 + [10 / 40])
    level = FALSE_ALARMS.level("choices")
    assert stats.chisquare(seen, draws * shares).pvalue > level
    unfilled = np.append(np.full(30, draws / 30), 0.0) + 1e-9  # the twin that does not fill would be seen
    assert stats.chisquare(seen, unfilled * draws / unfilled.sum()).pvalue < level
