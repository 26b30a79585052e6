"""DP-SGD's noise beside the queries of DP-FETA and FETA-Pro, at their published settings for MNIST and epsilon 1."""

from __future__ import annotations

import math

import pytest

from dpgen.accountants.calibration.search import calibrate
from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Composed, DpEvent, Gaussian
from dpgen.mechanisms.dp_sgd import dp_sgd_event
from dpgen.mechanisms.repeated_gaussian_sum import repeated_sum_event

RECORDS = 55_000
BUDGET = Budget(1.0, 1 / (RECORDS * math.log(RECORDS)), ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize(
    ("central", "frequency", "expected"), [(5.0, (), 14.94), (20.0, (Gaussian(26.6),), 14.78)], ids=["feta", "pro"]
)
def test_published_noise(central: float, frequency: tuple[DpEvent, ...], expected: float) -> None:
    query = repeated_sum_event(noise_multiplier=central, sampling_probability=6000 / RECORDS, rounds=5)

    def plan(noise_multiplier: float) -> DpEvent:
        training = dp_sgd_event(noise_multiplier=noise_multiplier, sampling_probability=1 / 14, steps=2100)
        return Composed((query, *frequency, training))

    assert calibrate(RdpAccountant(), BUDGET, plan) == pytest.approx(expected, abs=0.006)
