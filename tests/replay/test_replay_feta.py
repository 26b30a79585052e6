"""DP-FETA and FETA-Pro under replay: on a neighbour they take the same path and release the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Generator, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.noise import NoiseSource
from dpgen.testing.replay import ReplayMismatch, record, replay
from dpgen_plugins.diffusion import central_images, feta_pro
from dpgen_plugins.diffusion.examples import examples

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b", "c"), nominal_records=24)
ORDERS = ("frequency_time", "mix", "frequency")
METHODS = ("dp_feta", "feta_pro", *ORDERS)
"""FETA-Pro also in its other orders."""
LONER = 23
"""The only record of its class."""


def records() -> ArrayRecords:
    images = torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(24) % 2
    images[LONER], labels[LONER] = 255, 2
    return ArrayRecords(images, labels)


def made(method: str) -> Generator:
    order = {"order": method} if method in ORDERS else {}
    (generator,) = (example for example in examples() if example.name == ("feta_pro" if order else method))
    return type(generator)(generator.config.model_copy(update=order))


def fitting(
    method: str, data: ArrayRecords, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        generator = made(method)
        budget, accountant = Budget(8.0, 1e-3, relation), RdpAccountant()
        plan = generator.plan(Task(INFO, None, 4), budget, accountant)
        ledger, context = Ledger(accountant, budget), RunContext()
        ledger.adopt(plan)
        private = PrivateDataset(data, INFO, ledger=ledger, noise=noise, context=context)
        assert isinstance(generator, Generator)
        generator.fit(private, None, plan, context)
        return generator.state_dict()

    return run


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", [0, LONER])
def test_the_same_path_without_a_record(method: str, missing: int) -> None:
    tape = record(fitting(method, records()))
    replay(fitting(method, records().without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


def test_the_same_path_with_another_record_in_the_place_of_one() -> None:
    other = records()
    other._images[LONER], other._labels[LONER] = 0, 1
    tape = record(fitting("feta_pro", records(), REPLACE_ONE))
    replay(fitting("feta_pro", other, REPLACE_ONE), tape, relation=REPLACE_ONE)


@pytest.mark.parametrize(
    ("order", "charged"),
    [
        ("time_frequency", ["central-images", "frequency-features", "finetune"]),
        ("frequency_time", ["frequency-features", "central-images", "finetune"]),
        ("mix", ["central-images", "frequency-features", "finetune"]),
        ("frequency", ["frequency-features", "finetune"]),
    ],
)
def test_an_order_charges_what_it_asks_in_turn(order: str, charged: list[str]) -> None:
    plan = made(order if order in ORDERS else "feta_pro").plan(
        Task(INFO, None, 4), Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE), RdpAccountant()
    )
    assert [charge.label for charge in plan.charges] == charged


def test_a_mixed_warm_up_shows_as_many_images_of_each_kind() -> None:
    few = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.arange(6)
    many = torch.ones(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20)
    for pair in ((few, many), (many, few)):
        images, labels = feta_pro._evenly(*pair)
        assert len(labels) == 40
        assert images.float().mean() == 0.5
        assert set(labels[images[:, 0, 0, 0] == 0].tolist()) == set(range(6)), "none of the few is left out"


def test_classes_that_are_seen_without_noise_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: central images only of the classes that have records."""
    honest = central_images.release_central_images

    def only_present(private, plan, settings, context):  # type: ignore[no-untyped-def]
        images, labels = honest(private, plan, settings, context)
        there = torch.isin(labels, private._records.batch(private._records.ids)[1])
        return images[there], labels[there]

    monkeypatch.setattr(central_images, "release_central_images", only_present)
    tape = record(fitting("dp_feta", records()))
    with pytest.raises(ReplayMismatch, match="release"):
        replay(fitting("dp_feta", records().without(LONER)), tape, relation=ADD_OR_REMOVE_ONE)
