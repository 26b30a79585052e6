"""Sums of all processes in the precision given, and answers that are made once, in the first process."""

from __future__ import annotations

from typing import Any

import torch

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data import ArrayRecords, DatasetInfo, PrivateDataset, Shape
from dpgen.distributed import World
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.noise import SeededNoise
from dpgen.testing.processes import together

INFO = DatasetInfo(shape=Shape(1, 2, 2), class_names=("a", "b"), nominal_records=3)
SMALL = 2.0**-40


def adding_and_releasing(world: World) -> dict[str, Any]:
    part = {"sum": torch.tensor([1.0 if world.is_first else SMALL], dtype=torch.float64)}
    total = world.add_up(part, finish=lambda tensors: tensors)["sum"]
    ledger = Ledger(GdpAccountant(), Budget(5.0, 1e-5, ADD_OR_REMOVE_ONE))
    # A device that rounds differently, taken to the extreme: each process would measure something else.
    records = ArrayRecords(torch.full((3, 1, 2, 2), 50 * world.rank, dtype=torch.uint8), torch.tensor([0, 1, 0]))
    private = PrivateDataset(records, INFO, ledger=ledger, noise=SeededNoise(0), context=RunContext(world=world))
    mechanism = GaussianSum(vectors=lambda x, y: x.flatten(1), dimension=4, clip_norm=1.0, noise_multiplier=2.0)
    answer = private.release(mechanism, label="sum")
    return {"total": total.tolist(), "charges": len(ledger.charges), "answer": torch.as_tensor(answer).tolist()}


def test_a_sum_keeps_its_precision_and_a_release_is_made_and_charged_once():
    first, second = (outcome.value for outcome in together(2, adding_and_releasing))
    assert first["total"] == second["total"] == [1.0 + SMALL]
    assert first["answer"] == second["answer"]
    assert (first["charges"], second["charges"]) == (1, 0)
