"""How many synthetic images each class gets: as many, in given shares, or in shares counted with noise.

Works for every conditional generator: the labels are decided here and asked of `Generator.sample`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.budget import Budget, Charge, NeighboringRelation
from dpgen.data.datasets import PrivateDataset
from dpgen.errors import InvalidValue
from dpgen.events import DiscreteGaussian, DpEvent
from dpgen.generators.base import Task
from dpgen.mechanisms.histogram import NoisyHistogram

LABEL: Final = "class-counts"
FEWEST: Final = 2
"""Images that a class gets at least: noise on counts must not make a rare class vanish, and scores need two of each."""


def counts_event(relation: NeighboringRelation, scale: float) -> DpEvent:
    """What counting the records of all classes costs: a record is one count of one class."""
    return _counting(1, scale).event(relation)


def counts_charge(budget: Budget, accountant: Accountant, *, share: float) -> Charge:
    """The charge of class counts that, taken alone, cost `share` of the budget's epsilon.

    Raises: `CalibrationError` when no amount of noise meets it; `UnsupportedEvent` from an accountant without a price
    for discrete noise.
    """
    alone = Budget(share * budget.epsilon, budget.delta, budget.relation)
    event = partial(counts_event, budget.relation)
    return Charge(LABEL, event(calibrate(accountant, alone, event)))


def release_counts(private: PrivateDataset, planned: DiscreteGaussian) -> Tensor:
    """The noisy number of records of each class, int64 `[classes]`; may be negative.

    Privacy: charges `planned` under "class-counts". A record counts once, in its own class:
    L2 sensitivity 1 under add-or-remove-one, sqrt(2) under replace-one.
    """
    return private.release(_counting(private.info.classes, planned.scale), label=LABEL)


def class_shares(counts: Tensor) -> tuple[float, ...]:
    """Shares that add up to 1 from noisy counts: post-processing. Negative ones count as 0; all of them 0: even."""
    present = counts.clamp(min=0).double().tolist()
    total = math.fsum(present)
    return tuple(n / total for n in present) if total else (1 / len(present),) * len(present)


def labels_by_shares(shares: Sequence[float], count: int, *, fewest: int = 0) -> Tensor:
    """Exactly `count` labels, class by class, whose numbers are nearest to `shares` of it (largest remainders).

    Args: `shares` >= 0, of any total > 0; `fewest` images of each class, as far as `count` reaches, taken from the
    classes that have the most.
    Returns: int64 `[count]`, sorted.
    Raises: `InvalidValue` for shares that are no weights.
    """
    if not shares or not all(math.isfinite(share) and share >= 0 for share in shares) or not any(shares):
        raise InvalidValue(f"shares of classes must be numbers >= 0, not all 0; found {list(shares)}. Correct them.")
    exact = [count * share / math.fsum(shares) for share in shares]
    numbers = [math.floor(n) for n in exact]
    by_remainder = sorted(range(len(shares)), key=lambda c: (numbers[c] - exact[c], c))
    for c in by_remainder[: count - sum(numbers)]:
        numbers[c] += 1
    floor = min(fewest, count // len(numbers))
    for c in range(len(numbers)):
        while numbers[c] < floor:
            numbers[c] += 1
            numbers[max(range(len(numbers)), key=numbers.__getitem__)] -= 1
    return torch.repeat_interleave(torch.arange(len(numbers)), torch.tensor(numbers))


def unasked_labels(task: Task, count: int) -> Tensor | None:
    """The labels of `count` images where nobody asks for any: in the task's shares; None leaves them even."""
    return None if task.class_shares is None else labels_by_shares(task.class_shares, count, fewest=FEWEST)


def _counting(classes: int, scale: float) -> NoisyHistogram:
    return NoisyHistogram(cells=classes, votes=1, scale=scale, vote=lambda _, labels: labels[:, None], phase=LABEL)
