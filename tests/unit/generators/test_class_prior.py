"""Labels of synthetic images: exactly as many as asked, in the shares asked, from counts that were charged."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpgen.accountants import GdpAccountant, PldAccountant, RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue, UnsupportedEvent
from dpgen.events import DiscreteGaussian
from dpgen.generators.class_prior import (
    LABEL,
    class_shares,
    counts_charge,
    counts_event,
    labels_by_shares,
    release_counts,
)
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.noise import NoiseSource, SecureNoise
from dpgen.testing.replay import ReplayMismatch, record, replay

INFO = DatasetInfo(shape=Shape(1, 4, 4), class_names=("a", "b", "c"), nominal_records=12)
BUDGET = Budget(4.0, 1e-3, ADD_OR_REMOVE_ONE)
shares = st.lists(st.floats(0, 10), min_size=1, max_size=12).filter(lambda s: sum(s) > 1e-6)


@given(shares, st.integers(0, 400), st.integers(0, 3))
def test_exactly_as_many_labels_as_asked(shares: list[float], count: int, fewest: int) -> None:
    labels = labels_by_shares(shares, count, fewest=fewest)
    assert len(labels) == count
    assert torch.equal(labels, labels.sort().values)
    numbers = torch.bincount(labels, minlength=len(shares))
    assert int(numbers.min()) >= min(fewest, count // len(shares))


@given(shares, st.integers(0, 400))
def test_numbers_are_the_shares_but_for_one_image(shares: list[float], count: int) -> None:
    numbers = torch.bincount(labels_by_shares(shares, count), minlength=len(shares)).double()
    exact = count * torch.tensor(shares, dtype=torch.float64) / sum(shares)
    assert bool(((numbers - exact).abs() < 1 + 1e-6).all())


def test_a_share_of_nothing_gets_nothing_unless_a_floor_says_so() -> None:
    assert torch.bincount(labels_by_shares((0.5, 0.0, 0.5), 9), minlength=3).tolist() == [5, 0, 4]
    assert torch.bincount(labels_by_shares((1.0, 0.0, 0.0), 9, fewest=2)).tolist() == [5, 2, 2]


def test_shares_from_noisy_counts() -> None:
    assert class_shares(torch.tensor([30, -4, 10])) == (0.75, 0.0, 0.25)
    assert class_shares(torch.tensor([-3, 0])) == (0.5, 0.5)


@pytest.mark.parametrize("wrong", [(), (0.0, 0.0), (-1.0, 2.0), (float("nan"), 1.0), (float("inf"),)])
def test_what_is_no_distribution_is_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(InvalidValue, match="shares"):
        labels_by_shares(wrong, 4)


@pytest.mark.parametrize(("relation", "touched"), [(ADD_OR_REMOVE_ONE, 1), (REPLACE_ONE, 2)])
def test_a_record_is_one_count_of_one_class(relation: object, touched: int) -> None:
    budget = Budget(1.0, 1e-5, relation)  # type: ignore[arg-type]
    charge = counts_charge(budget, PldAccountant(), share=0.1)
    assert isinstance(charge.event, DiscreteGaussian)
    assert charge.event.touched == touched
    price = PldAccountant().epsilon(charge.event, delta=1e-5, relation=budget.relation)
    assert 0.0999 < price.upper <= 0.1


def test_an_accountant_without_discrete_noise_says_so() -> None:
    with pytest.raises(UnsupportedEvent):
        counts_charge(BUDGET, GdpAccountant(), share=0.1)


def records() -> ArrayRecords:
    images = torch.zeros(12, 1, 4, 4, dtype=torch.uint8)
    return ArrayRecords(images, torch.tensor([0] * 8 + [1] * 3 + [2]))


def counting(data: ArrayRecords, *, peek: bool = False):  # type: ignore[no-untyped-def]
    """Count with noise, and say which labels to make. With `peek` the broken twin: true counts."""

    def run(noise: NoiseSource) -> dict[str, torch.Tensor]:
        accountant = RdpAccountant()
        charge = counts_charge(BUDGET, accountant, share=0.5)
        ledger = Ledger(accountant, BUDGET)
        ledger.adopt(Plan((charge,)))
        private = PrivateDataset(data, INFO, ledger=ledger, noise=noise, context=RunContext())
        counts = release_counts(private, charge.event)
        if peek:
            counts = torch.bincount(data.batch(data.ids)[1], minlength=3)
        return {"labels": labels_by_shares(class_shares(counts), 40)}

    return run


@pytest.mark.parametrize("missing", [0, 11])
def test_the_labels_are_those_of_a_neighbour(missing: int) -> None:
    tape = record(counting(records()))
    replay(counting(records().without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


def test_true_counts_are_caught() -> None:
    tape = record(counting(records(), peek=True))
    with pytest.raises(ReplayMismatch):
        replay(counting(records().without(11), peek=True), tape, relation=ADD_OR_REMOVE_ONE)


def test_counts_are_near_the_truth_where_noise_is_small() -> None:
    ledger = Ledger(RdpAccountant(), Budget(1e4, 1e-3, ADD_OR_REMOVE_ONE))
    event = counts_event(ADD_OR_REMOVE_ONE, 0.05)
    ledger.adopt(Plan((counts_charge_of(event),)))
    private = PrivateDataset(records(), INFO, ledger=ledger, noise=SecureNoise(bytes(32)), context=RunContext())
    assert release_counts(private, event).tolist() == [8, 3, 1]


def counts_charge_of(event):  # type: ignore[no-untyped-def]
    from dpgen.budget import Charge

    return Charge(LABEL, event)
