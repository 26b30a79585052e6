"""The noise of a released embedding: its deviation on every coordinate, and twins that have less of it.

The key is fixed, so a right release passes for ever. Smallest fault of the deviation that is rejected with power 0.999:
below 4 % (one of 20 % is rejected here).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.events import Gaussian
from dpgen.generators.mean_embedding import release_embedding
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.noise import SecureNoise
from dpgen.testing.statistics import FalseAlarmBudget, gaussian_deviation
from dpgen_plugins.kernel.features import RandomFeatures, Term
from dpgen_plugins.kernel.gradient_features import GradientFeatures
from dpgen_plugins.kernel.matched import LABEL

FALSE_ALARMS = FalseAlarmBudget(6e-9, {"random features": 1, "gradients": 1})
INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=16)
NOISE_MULTIPLIER, WEIGHT = 3.0, 0.3
RANDOM = RandomFeatures([Term(1.0, nn.Flatten(), 64, 3.0)], features=20_000, generator=torch.Generator().manual_seed(0))
GRADIENTS = GradientFeatures(64, [300], outputs=2, generator=torch.Generator().manual_seed(0))


def noise_of(features: nn.Module) -> np.ndarray:
    """What was added to the sums, in units of a record's length."""
    pixels = torch.randint(0, 256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    labels, plan = torch.arange(16) % 2, Plan((Charge(LABEL, Gaussian(NOISE_MULTIPLIER)),))
    ledger, context = Ledger(GdpAccountant(), Budget(50.0, 1e-3, ADD_OR_REMOVE_ONE)), RunContext()
    ledger.adopt(plan)
    source = SecureNoise(bytes(range(32))).under("kernel law")
    private = PrivateDataset(ArrayRecords(pixels, labels), INFO, ledger=ledger, noise=source, context=context)
    noisy = release_embedding(private, plan, features, label=LABEL, count_weight=WEIGHT, context=context).sums.double()
    rows: Tensor = features(pixels.float() / 255).double()
    exact = torch.zeros_like(noisy).index_add(0, labels, rows) / 16
    return ((noisy - exact) * 16 * math.sqrt(1 - WEIGHT**2)).numpy()


@pytest.mark.parametrize(("name", "features"), [("random features", RANDOM), ("gradients", GRADIENTS)])
def test_every_coordinate_of_the_embedding_has_the_noise_that_was_charged(name: str, features: nn.Module) -> None:
    noise, level = noise_of(features), FALSE_ALARMS.level(name)
    found = gaussian_deviation(noise, deviation=NOISE_MULTIPLIER, level=level)
    assert found.passed
    assert found.smallest_fault < 0.04
    assert not gaussian_deviation(noise / 2, deviation=NOISE_MULTIPLIER, level=level).passed  # reference fault P12
    assert not gaussian_deviation(noise * 0.8, deviation=NOISE_MULTIPLIER, level=level).passed
    assert not gaussian_deviation(noise * 0, deviation=NOISE_MULTIPLIER, level=level).passed  # reference fault P5
