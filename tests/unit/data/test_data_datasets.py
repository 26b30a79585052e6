from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data import ArrayRecords, DatasetInfo, PrivateDataset, PublicDataset, Shape
from dpgen.errors import BudgetExceeded, DataError, InvalidValue
from dpgen.events import SelfComposed
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.noise import SeededNoise

INFO = DatasetInfo(shape=Shape(1, 2, 2), class_names=("a", "b"), nominal_records=3)


class CountingRecords(ArrayRecords):
    """Counts how often it is read."""

    reads = 0

    @property
    def ids(self) -> np.ndarray:
        self.reads += 1
        return super().ids

    def batch(self, ids: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        self.reads += 1
        return super().batch(ids)


def images(n: int = 3) -> torch.Tensor:
    return (torch.arange(n * 4, dtype=torch.uint8) * 20).reshape(n, 1, 2, 2)


def opened(epsilon: float) -> tuple[PrivateDataset, CountingRecords]:
    records = CountingRecords(images(), torch.tensor([0, 1, 0]))
    ledger = Ledger(GdpAccountant(), Budget(epsilon, 1e-5, ADD_OR_REMOVE_ONE))
    return PrivateDataset(records, INFO, ledger=ledger, noise=SeededNoise(0), context=RunContext()), records


MEAN = GaussianSum(vectors=lambda x, y: x.flatten(1), dimension=4, clip_norm=1.0, noise_multiplier=2.0)


def test_over_budget_reads_nothing() -> None:
    private, records = opened(epsilon=0.01)
    with pytest.raises(BudgetExceeded):
        private.release(MEAN, label="mean")
    assert records.reads == 0


def test_within_budget_charges_and_releases() -> None:
    private, records = opened(epsilon=5.0)
    assert private.release(MEAN, label="mean").shape == (4,)
    assert records.reads > 0


def test_equal_settings_under_two_labels_share_no_draw() -> None:
    private, _ = opened(epsilon=20.0)
    first, second = (private.release(MEAN, label=label) for label in ("one", "two"))
    assert not torch.equal(torch.as_tensor(first), torch.as_tensor(second))


def test_releases_one_by_one_under_one_planned_label_share_no_draw() -> None:
    ledger = Ledger(GdpAccountant(), Budget(20.0, 1e-5, ADD_OR_REMOVE_ONE))
    ledger.adopt(Plan((Charge("mean", SelfComposed(MEAN.event(ADD_OR_REMOVE_ONE), 3)),)))
    records = ArrayRecords(images(), torch.tensor([0, 1, 0]))
    private = PrivateDataset(records, INFO, ledger=ledger, noise=SeededNoise(0), context=RunContext())
    answers = [private.release(MEAN, label="mean") for _ in range(3)]
    assert len({tuple(answer.tolist()) for answer in answers}) == 3


def test_a_handle_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="ledger"):
        pickle.dumps(opened(1.0)[0])


def test_ids_stay_when_a_record_leaves() -> None:
    records = ArrayRecords(images(), torch.tensor([0, 1, 0]))
    neighbour = records.without(1)
    assert neighbour.ids.tolist() == [0, 2]
    assert torch.equal(neighbour.batch(np.array([2]))[0], records.batch(np.array([2]))[0])
    assert neighbour.without(2).ids.tolist() == [0]


@pytest.mark.parametrize("ids", [[0, 1, 1], [2, 1, 0], [0, 1]])
def test_ids_are_distinct_and_ascending(ids: list[int]) -> None:
    """A record that appears twice would count twice."""
    with pytest.raises(DataError, match="distinct"):
        ArrayRecords(images(), torch.tensor([0, 1, 0]), np.array(ids))


def test_bad_arrays_are_refused_without_their_number() -> None:
    with pytest.raises(DataError, match="uint8"):
        ArrayRecords(torch.zeros(7919, 1, 2, 2), torch.zeros(7919, dtype=torch.int64))
    with pytest.raises(DataError) as caught:
        ArrayRecords(torch.zeros(7919, 1, 2, 2, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
    assert "7919" not in str(caught.value)


def test_public_subset_keeps_labels_and_names() -> None:
    public = PublicDataset("toy", images(), torch.tensor([0, 1, 0]), ("a", "b"))
    subset = public.where([0])
    assert len(subset) == 2
    assert subset.labels.tolist() == [0, 0]
    assert subset.class_names == ("a", "b")
    assert subset.shape == Shape(1, 2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": ()},
        {"class_names": ("a", "a")},
        {"nominal_records": 0},
        {"unit": "image", "max_images_per_person": 3},
    ],
    ids=str,
)
def test_impossible_facts_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        DatasetInfo(**{"shape": Shape(1, 2, 2), "class_names": ("a",), "nominal_records": 3, **changes})  # type: ignore[arg-type]


def test_facts_survive_json() -> None:
    info = DatasetInfo(
        shape=Shape(3, 8, 9), class_names=("a", "b"), nominal_records=10, class_counts=(4, 6), unit="person",
        max_images_per_person=2,
    )  # fmt: skip
    assert DatasetInfo.from_json(info.to_json()) == info
