"""The noise on the votes of a round: its law, and twins that have less of it or the same in every round.

The key is fixed, so a right release passes for ever. Smallest fault of the scale rejected with power 0.999: below 8 %.
"""

from __future__ import annotations

import numpy as np
import torch

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.events import DiscreteGaussian
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.noise import SecureNoise
from dpgen.testing.statistics import FalseAlarmBudget, discrete_gaussian_deviation, gaussian_independence
from dpgen_plugins.evolution.voting import NearestVotes, round_label, round_votes

FALSE_ALARMS = FalseAlarmBudget(9e-9, {"scale": 2, "rounds": 1})
INFO = DatasetInfo(shape=Shape(1, 2, 2), class_names=("a", "b"), nominal_records=30)
SCALE, MEMBERS = 4.0, 5000


def brightness(images: torch.Tensor) -> np.ndarray:
    return images.double().mean((1, 2, 3))[:, None].numpy()


def noise_of_rounds(rounds: int) -> list[np.ndarray]:
    pixels = torch.randint(0, 256, (30, 1, 2, 2), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    data = ArrayRecords(pixels, torch.arange(30) % 2)
    event = DiscreteGaussian(scale=SCALE, touched=1)
    ledger, context = Ledger(RdpAccountant(), Budget(50.0, 1e-3, ADD_OR_REMOVE_ONE)), RunContext()
    ledger.adopt(Plan(tuple(Charge(round_label(round_), event) for round_ in range(rounds))))
    source = SecureNoise(bytes(range(32))).under("evolution law")
    private = PrivateDataset(data, INFO, ledger=ledger, noise=source, context=context)
    vote = NearestVotes([np.linspace(0, 1, MEMBERS)[:, None]] * 2, brightness, votes=1)
    cells = vote(*data.batch(data.ids))[:, 0]
    exact = torch.bincount(cells, minlength=2 * MEMBERS)
    found = []
    for round_ in range(rounds):
        label = round_label(round_)
        noisy = private.release(round_votes(vote, votes=1, planned=event, phase=label), label=label)
        found.append((noisy - exact).numpy())
    return found


def test_each_round_has_the_noise_that_was_charged_and_its_own() -> None:
    first, second = noise_of_rounds(2)
    for noise in (first, second):
        found = discrete_gaussian_deviation(noise, scale=SCALE, level=FALSE_ALARMS.level("scale"))
        assert found.passed
        assert found.smallest_fault < 0.08
        less = discrete_gaussian_deviation(noise * 0.8, scale=SCALE, level=FALSE_ALARMS.level("scale"))
        assert not less.passed
        assert not discrete_gaussian_deviation(noise * 0, scale=SCALE, level=FALSE_ALARMS.level("scale")).passed
    level = FALSE_ALARMS.level("rounds")
    assert gaussian_independence(first, second, deviation=SCALE, level=level).passed
    assert not gaussian_independence(first, first, deviation=SCALE, level=level).passed
