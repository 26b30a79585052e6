"""The kernel methods as generators: what they need, what they refuse, and that they learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen.generators import Generator, PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.networks.embedding_matching import _embedded, _spread
from dpgen.noise import SeededNoise
from dpgen.testing.toy import toy_images
from dpgen_plugins.kernel.dp_kernel import DpKernel
from dpgen_plugins.kernel.dp_merf import DpMerf
from dpgen_plugins.kernel.dp_ntk import DpNtk
from dpgen_plugins.kernel.features import RandomFeatures, Term
from dpgen_plugins.kernel.training import public_embedding, starting_classes

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=400)
BUDGET = Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE)
PUBLIC_INFO = PublicInfo("toy", Shape(1, 8, 8), ("b", "x", "y"))


def images(count: int, classes: int) -> tuple[Tensor, Tensor]:
    pixels, labels = toy_images(count, classes=classes)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def build(cls: type[Generator], settings: Mapping[str, Any]) -> Generator:
    return cls(cls.Config.model_validate(settings))


@pytest.mark.parametrize(
    ("cls", "settings", "reason"),
    [
        (DpMerf, {"fourier": {"space": "deep"}}, 'fourier.space = "deep"'),
        (DpMerf, {"fourier": {"space": "both"}}, 'fourier.space = "both"'),
        (DpNtk, {"pretrain": {"steps": 3}}, "pretrain.steps = 3"),
        (DpKernel, {"kernel": {"points": 5}}, "kernel.points = 5"),
        (DpKernel, {"kernel": {"space": "deep"}}, 'kernel.space = "deep"'),
    ],
)
def test_settings_that_need_a_public_set_say_so(cls: type[Generator], settings: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason):
        build(cls, settings).plan(Task(INFO, None, 4), BUDGET, GdpAccountant())
    assert build(cls, settings).plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, GdpAccountant())["mean-embedding"]


def test_public_images_of_another_shape_are_refused() -> None:
    other = PublicInfo("toy", Shape(3, 8, 8), ("b",))
    with pytest.raises(InvalidValue, match="private shape"):
        build(DpNtk, {"pretrain": {"steps": 3}}).plan(Task(INFO, other, 4), BUDGET, GdpAccountant())


@pytest.mark.parametrize("table", ["matching", "pretrain"])
def test_a_batch_without_two_images_of_each_class_is_refused(table: str) -> None:
    settings = {"pretrain": {"steps": 1}} | {table: {"steps": 1, "batch": 3}}
    with pytest.raises(InvalidValue, match=f"{table}.batch"):
        build(DpMerf, settings).plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, GdpAccountant())


@pytest.mark.parametrize("key", ["bandwidths", "deep_bandwidths"])
@pytest.mark.parametrize(("cls", "table"), [(DpMerf, "fourier"), (DpKernel, "kernel")])
def test_bandwidths_out_of_range_are_refused(cls: type[Generator], table: str, key: str) -> None:
    with pytest.raises(InvalidValue, match=key):
        build(cls, {table: {key: [1.0, 0.0]}}).plan(Task(INFO, None, 4), BUDGET, GdpAccountant())


SMALL = {"network": {"width": 4}, "matching": {"steps": 120, "batch": 20}}


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (DpMerf, {"fourier": {"features": 400, "bandwidths": [2.5]}}),
        (DpNtk, {"tangent": {"hidden": [12]}}),
        (DpKernel, {"kernel": {"features": 400, "bandwidths": [1.5, 4.0]}}),
        (DpKernel, {"kernel": {"points": 30, "bandwidths": [1.5, 4.0]}}),
    ],
    ids=["dp_merf", "dp_ntk", "dp_kernel", "dp_kernel points"],
)
def test_each_method_learns_which_class_is_bright_where(
    cls: type[Generator], settings: Mapping[str, Any], tmp_path: Path
) -> None:
    generator, context = build(cls, SMALL | settings), RunContext(published=tmp_path)
    plan = generator.plan(Task(INFO, PUBLIC_INFO, 4), BUDGET, GdpAccountant())
    ledger = Ledger(GdpAccountant(), BUDGET)
    ledger.adopt(plan)
    private = PrivateDataset(ArrayRecords(*images(400, 2)), INFO, ledger=ledger, noise=SeededNoise(0), context=context)
    generator.fit(private, PublicDataset("toy", *images(60, 3), PUBLIC_INFO.class_names), plan, context)
    made = generator.sample(40, seed=0)
    for own, band in ((0, slice(0, 4)), (1, slice(4, 8))):
        rows = made.images[made.labels == own]
        assert float(rows[:, :, band].mean()) > float(rows.mean()) + 0.1
    assert not list(tmp_path.iterdir())  # nothing but the model is given away: no count, no log


def test_private_classes_start_from_the_public_classes_that_were_asked_for() -> None:
    public, private = ("3", "a", "b", "c", "d"), ("a", "b", "new")
    first = [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0]]
    names = [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]]
    for start, expected in (("first", first), ("names", names), ("all", [[1] * 5] * 3)):
        assert starting_classes(public, private, start=start).long().tolist() == expected


def test_the_public_embedding_is_the_mean_of_the_public_images() -> None:
    pixels, labels = images(30, 3)
    labels = labels.clamp(max=1)  # no image of class y
    public, features = PublicDataset("toy", pixels, labels, PUBLIC_INFO.class_names), torch.nn.Flatten()
    found = public_embedding(features, public, ("b", "y"), start="names", context=RunContext())
    flat = pixels.flatten(1).float() / 255
    expected = torch.stack([flat[labels == 0].mean(0), flat.mean(0)]) / 2
    torch.testing.assert_close(found.sums, expected)
    assert found.shares.tolist() == [0.5, 0.5]


def test_the_spread_that_is_taken_out_is_what_the_biased_loss_adds() -> None:
    """Over many batches |mean of batch|^2 - spread averages to |expected mean|^2: 4 images of a class are enough."""
    features = RandomFeatures([Term(1.0, torch.nn.Flatten(), 9, 1.0)], features=40, generator=torch.Generator())
    draws = torch.Generator().manual_seed(0)
    population, shares, labels = torch.rand(50, 1, 3, 3, generator=draws), torch.tensor([0.5, 0.5]), torch.arange(8) % 2
    biased, corrected = [], []
    for _ in range(2000):
        rows = features(population[torch.randint(50, (8,), generator=draws)])
        square = _embedded(rows, labels, shares).square().sum()
        biased.append(square)
        corrected.append(square - _spread(rows, labels, shares))
    exact = 2 * (features(population).mean(0) / 2).square().sum()
    assert float(torch.stack(corrected).mean()) == pytest.approx(float(exact), rel=0.01)
    assert float(torch.stack(biased).mean()) > 1.05 * float(exact)
