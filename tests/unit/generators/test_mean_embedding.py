"""The one release of the kernel methods: what comes out, what it costs, and beside which charges it stands."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dpgen.accountants.gdp import GdpAccountant
from dpgen.accountants.pld import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import BudgetExceeded, PlanMismatch
from dpgen.events import DiscreteGaussian, Gaussian
from dpgen.generators.mean_embedding import LEAST_SHARE, Embedding, class_shares, release_embedding
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.noise import SeededNoise
from dpgen_plugins.kernel.matched import LABEL, embedding_charge

INFO = DatasetInfo(shape=Shape(1, 4, 4), class_names=("a", "b", "none"), nominal_records=30)
WEIGHT = 0.6
BUDGET = Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE)


class Direction(nn.Module):
    """The pixels, of length 1."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)


def records(count: int = 30) -> ArrayRecords:
    images = torch.randint(1, 256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ArrayRecords(images, (torch.arange(count) % 3 == 0).long())  # 20 of class a, 10 of b, none of the third


def released(noise_multiplier: float, ledger: Ledger | None = None, seed: int = 0) -> Embedding:
    plan = Plan((Charge(LABEL, Gaussian(noise_multiplier)),))
    if ledger is None:
        ledger = Ledger(GdpAccountant(), Budget(1e9, 1e-3, ADD_OR_REMOVE_ONE))
        ledger.adopt(plan)
    context = RunContext()
    private = PrivateDataset(records(), INFO, ledger=ledger, noise=SeededNoise(seed), context=context)
    return release_embedding(private, plan, Direction(), label=LABEL, count_weight=WEIGHT, context=context)


def test_without_noise_it_is_shares_and_sums_over_the_declared_records() -> None:
    found = released(1e-3)
    torch.testing.assert_close(found.shares[:2], torch.tensor([20 / 30, 10 / 30]), atol=1e-3, rtol=0)
    images, labels = records().batch(np.arange(30))
    expected = torch.stack([Direction()(images[labels == own]).sum(0) / 30 for own in range(2)])
    torch.testing.assert_close(found.sums[:2], expected, atol=1e-3, rtol=0)


def test_a_class_without_records_keeps_a_share_to_divide_by() -> None:
    assert float(released(1e-3).shares[2]) == pytest.approx(LEAST_SHARE / 3)
    assert bool((released(50.0).shares > 0).all())


def test_class_shares_are_declared_or_released_or_even() -> None:
    noisy = torch.tensor([0.7, 0.3])
    plain = DatasetInfo(Shape(1, 8, 8), ("a", "b"), nominal_records=10)
    declared = DatasetInfo(Shape(1, 8, 8), ("a", "b"), nominal_records=10, class_counts=(9, 1))
    assert class_shares(declared, noisy, deviation=0.0).tolist() == pytest.approx([0.9, 0.1])
    assert class_shares(plain, noisy, deviation=0.12).tolist() == pytest.approx([0.7, 0.3])
    assert class_shares(plain, noisy, deviation=0.13).tolist() == [0.5, 0.5]  # a quarter of an even share is 0.125


def test_the_noise_of_count_and_features_is_the_one_that_was_charged() -> None:
    clean = released(1e-4)
    moved = torch.cat([released(5.0, seed=seed).sums - clean.sums for seed in range(40)]).double()
    expected = 5.0 / (30 * math.sqrt(1 - WEIGHT**2))
    assert float(moved.std()) == pytest.approx(expected, rel=0.1)  # 1920 draws: a deviation of 1.6 %


def test_replacing_a_record_costs_more_than_adding_one() -> None:
    """Reference fault P12: half the sensitivity, for no stated relation."""
    replace, add = (
        embedding_charge(Budget(1.0, 1e-5, relation), GdpAccountant()).event
        for relation in (REPLACE_ONE, ADD_OR_REMOVE_ONE)
    )
    assert isinstance(replace, Gaussian)
    assert isinstance(add, Gaussian)
    assert replace.noise_multiplier == pytest.approx(2 * add.noise_multiplier, rel=1e-3)


def test_the_price_of_the_benchmarks_setting() -> None:
    """MNIST at epsilon 1 and 10: 4.12 and 0.532 by the exact Gaussian, as computed for the published protocol."""
    delta = 1 / (55000 * math.log(55000))
    for epsilon, expected in ((1.0, 4.12), (10.0, 0.532)):
        event = embedding_charge(Budget(epsilon, delta, ADD_OR_REMOVE_ONE), GdpAccountant()).event
        assert isinstance(event, Gaussian)
        assert event.noise_multiplier == pytest.approx(expected, rel=5e-3)


def query() -> NoisyHistogram:
    return NoisyHistogram(cells=2, votes=1, scale=2.0, vote=lambda images, labels: labels[:, None])


def ledger_after_a_query(budget: Budget, *, query_planned: bool) -> Ledger:
    plan = [Charge("query", DiscreteGaussian(scale=2.0, touched=1))] if query_planned else []
    ledger = Ledger(PldAccountant(), budget)
    ledger.adopt(Plan((*plan, Charge(LABEL, Gaussian(2.0)))))
    private = PrivateDataset(records(), INFO, ledger=ledger, noise=SeededNoise(0), context=RunContext())
    private.release(query(), label="query")
    return ledger


def test_it_adds_to_what_was_charged_before() -> None:
    ledger = ledger_after_a_query(BUDGET, query_planned=True)
    released(2.0, ledger)
    spent = ledger.spent().upper
    alone = PldAccountant().epsilon(Gaussian(2.0), delta=BUDGET.delta, relation=ADD_OR_REMOVE_ONE).upper
    assert spent > 1.2 * alone


def test_an_earlier_charge_that_was_not_planned_is_refused() -> None:
    """Reference fault P11: the history of the run is ignored, so what came before is free."""
    with pytest.raises(PlanMismatch):
        ledger_after_a_query(BUDGET, query_planned=False)


def test_a_budget_that_the_earlier_charge_has_used_up_is_refused() -> None:
    with pytest.raises(BudgetExceeded):
        ledger_after_a_query(Budget(1.5, 1e-3, ADD_OR_REMOVE_ONE), query_planned=True)


def test_a_plan_of_another_event_is_refused() -> None:
    plan = Plan((Charge(LABEL, DiscreteGaussian(scale=2.0, touched=1)),))
    private = PrivateDataset(
        records(),
        INFO,
        ledger=Ledger(PldAccountant(), BUDGET),
        noise=SeededNoise(0),
        context=RunContext(),
    )
    with pytest.raises(PlanMismatch, match="Gaussian"):
        release_embedding(private, plan, Direction(), label=LABEL, count_weight=WEIGHT, context=RunContext())
