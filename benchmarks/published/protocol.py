"""The benchmark's own way from a target epsilon to a noise multiplier, repeated with our accountants.

Source: `2019ChenGong/DPImageBench` at commit 565f8d7 (January 2026), `data/dataset_loader.py` and the method's file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from benchmarks.paper_noise import OPACUS_ORDERS
from dpgen.accountants import Accountant, PldAccountant, RdpAccountant, calibrate
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.events import Composed, DpEvent, Gaussian, PoissonSampled, SelfComposed


@dataclass(frozen=True, slots=True)
class PrivateSet:
    """The training split of the protocol: its size, and how many of its images the rarest class has."""

    name: str
    records: int
    rarest_class: int

    @property
    def delta(self) -> float:
        """1 / (N ln N), as `load_data` sets it."""
        return 1 / (self.records * math.log(self.records))

    def batches(self, batch: int) -> int:
        """Length of a loader without `drop_last`; DP-SGD samples with one over it."""
        return math.ceil(self.records / batch)


# 55,000 of the 60,000 training images; digit 5 is the rarest, 5,421 of 60,000. CIFAR-10 is balanced.
MNIST = PrivateSet("MNIST", 55_000, round(5_421 * 55 / 60))
CIFAR10 = PrivateSet("CIFAR-10", 45_000, 4_500)

OPACUS = RdpAccountant(orders=OPACUS_ORDERS)
PLD = PldAccountant()


def solved(data: PrivateSet, epsilon: float, event: Callable[[float], DpEvent], accountant: Accountant) -> float:
    """The noise multiplier at which `event` costs `epsilon`, add-or-remove-one."""
    return calibrate(accountant, Budget(epsilon, data.delta, ADD_OR_REMOVE_ONE), event)


def dp_sgd(data: PrivateSet, noise_multiplier: float, *, batch: int = 4096, epochs: int = 150) -> DpEvent:
    """DP-SGD of the diffusion methods: expected batch 4096, 150 epochs."""
    batches = data.batches(batch)
    return SelfComposed(PoissonSampled(1 / batches, Gaussian(noise_multiplier)), batches * epochs)


@cache
def dp_sgd_noise(data: PrivateSet, epsilon: float, *, history: DpEvent | None = None) -> float:
    """Its noise, solved by Opacus' RDP so that `history` and DP-SGD together cost `epsilon`."""
    if history is None:
        return solved(data, epsilon, lambda noise: dp_sgd(data, noise), OPACUS)
    return solved(data, epsilon, lambda noise: Composed((history, dp_sgd(data, noise))), OPACUS)
