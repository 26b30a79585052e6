"""DP-MERF, DP-NTK and DP-Kernel under replay, and each published fault as a twin that is caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Generator, PublicInfo, Task, mean_embedding
from dpgen.generators.mean_embedding import Embedding
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.bounded_sum import BoundedSum
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.noise import NoiseSource
from dpgen.testing.replay import ReplayMismatch, record, replay
from dpgen_plugins.kernel import matched
from dpgen_plugins.kernel.dp_kernel import DpKernel
from dpgen_plugins.kernel.dp_merf import DpMerf
from dpgen_plugins.kernel.dp_ntk import DpNtk

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b", "c"), nominal_records=24)
LONER = 23
"""The only record of its class."""
TINY = {
    "network": {"width": 2, "latent": 2},
    "matching": {"steps": 2, "batch": 6},
    "pretrain": {"steps": 2, "batch": 6},
}
SMALL_NETWORK = {"public_network": {"steps": 2, "width": 2}}


def pixels(count: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


PUBLIC = PublicDataset("toy", pixels(30, seed=1), torch.arange(30) % 5, ("v", "w", "x", "y", "z"))


def records() -> ArrayRecords:
    images, labels = pixels(24, seed=0), torch.arange(24) % 2
    images[LONER], labels[LONER] = 255, 2
    return ArrayRecords(images, labels)


def make(cls: type[Generator], **settings: object) -> Generator:
    return cls(cls.Config.model_validate(TINY | settings))


MERF = partial(make, DpMerf, fourier={"space": "both", "features": 40, "bandwidths": [2.0, 5.0]}, **SMALL_NETWORK)
NTK = partial(make, DpNtk, tangent={"hidden": [8]})
KERNEL = partial(make, DpKernel, kernel={"features": 40})
POINTS = partial(make, DpKernel, kernel={"space": "deep", "points": 7}, **SMALL_NETWORK)
METHODS = [MERF, NTK, KERNEL, POINTS]


def fitting(
    method: Callable[[], Generator], data: ArrayRecords, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        generator, budget, accountant = method(), Budget(8.0, 1e-3, relation), RdpAccountant()
        plan = generator.plan(Task(INFO, PublicInfo("toy", PUBLIC.shape, PUBLIC.class_names), 4), budget, accountant)
        ledger, context = Ledger(accountant, budget), RunContext()
        ledger.adopt(plan)
        private = PrivateDataset(data, INFO, ledger=ledger, noise=noise, context=context)
        generator.fit(private, PUBLIC, plan, context)
        return generator.state_dict()

    return run


def without(method: Callable[[], Generator], missing: int) -> None:
    tape = record(fitting(method, records()))
    replay(fitting(method, records().without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", [0, LONER])
def test_the_same_path_without_a_record(method: Callable[[], Generator], missing: int) -> None:
    without(method, missing)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_path_with_another_record_in_the_place_of_one(method: Callable[[], Generator]) -> None:
    other = records()
    other._images[LONER], other._labels[LONER] = 0, 1
    tape = record(fitting(method, records(), REPLACE_ONE))
    replay(fitting(method, other, REPLACE_ONE), tape, relation=REPLACE_ONE)


class Longer(nn.Module):
    """Features of norm up to sqrt(2): cosines with a random phase, sqrt(2) cos(Wx + b), of reference fault P20."""

    def __init__(self, *_: object, generator: torch.Generator, **__: object) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(40, 64, generator=generator) / 5)

    def forward(self, images: Tensor) -> Tensor:
        angles: Tensor = images.flatten(1) @ self.get_buffer("frequencies").T
        return angles.cos() * (2 / 40) ** 0.5 + 0.2  # dark images, near cos 0 = 1, are the longest


def test_features_that_are_too_long_are_clipped_and_without_the_clip_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P20: the norm is not what the noise is for."""
    monkeypatch.setattr("dpgen_plugins.kernel.dp_merf.RandomFeatures", Longer)
    without(MERF, 0)
    monkeypatch.setattr(BoundedSum, "clipped", lambda self, images, labels: self.vectors(images, labels).double())
    with pytest.raises(ReplayMismatch, match="declared sensitivity 1"):
        without(MERF, 0)


def test_noise_for_half_the_sensitivity_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P12: sigma / 2, a sensitivity that no relation has."""

    class Half(GaussianSum):
        def sensitivity(self, relation: NeighboringRelation) -> float:
            return super().sensitivity(relation) / 2

    monkeypatch.setattr(mean_embedding, "GaussianSum", Half)
    with pytest.raises(ReplayMismatch, match=r"declared sensitivity 0\.5"):
        without(NTK, 0)


def clean(private: PrivateDataset, features: nn.Module, weight: float) -> Embedding:
    """What no release may be: the sums themselves."""
    images, labels = private._records.batch(private._records.ids)
    sums = torch.zeros(INFO.classes, features(images).shape[1]).index_add(0, labels, features(images)) / 24
    return Embedding((torch.bincount(labels, minlength=3) / 24).clamp(min=0.03), sums)


def test_clean_values_where_the_noise_fails_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: whatever goes wrong with the noise, the clean values are used in its place."""
    honest = matched.release_embedding

    def silent(private, plan, features, *, label, count_weight, context):  # type: ignore[no-untyped-def]
        honest(private, plan, features, label=label, count_weight=count_weight, context=context)
        try:
            torch.linalg.cholesky(torch.ones(3, 3))  # the covariance of a record that comes three times
        except torch.linalg.LinAlgError:
            return clean(private, features, count_weight)

    monkeypatch.setattr(matched, "release_embedding", silent)
    with pytest.raises(ReplayMismatch, match="release"):
        without(KERNEL, 0)


def test_the_clean_gradient_times_a_noisy_number_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: the noise scales the clean direction instead of being added to it."""
    honest = matched.release_embedding

    def scaled(private, plan, features, *, label, count_weight, context):  # type: ignore[no-untyped-def]
        noisy = honest(private, plan, features, label=label, count_weight=count_weight, context=context)
        exact = clean(private, features, count_weight)
        return Embedding(noisy.shares, exact.sums * (noisy.sums.sum() / exact.sums.sum()))

    monkeypatch.setattr(matched, "release_embedding", scaled)
    with pytest.raises(ReplayMismatch, match="release"):
        without(KERNEL, 0)


def test_labels_of_private_records_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: what is generated has the labels of the private batch."""
    honest = matched.release_embedding

    def leaking(private, plan, features, *, label, count_weight, context):  # type: ignore[no-untyped-def]
        noisy = honest(private, plan, features, label=label, count_weight=count_weight, context=context)
        return Embedding(clean(private, features, count_weight).shares, noisy.sums)

    monkeypatch.setattr(matched, "release_embedding", leaking)
    with pytest.raises(ReplayMismatch, match="release"):
        without(MERF, 0)


def test_a_mean_over_the_true_count_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """P14: what divides is the private number of records."""
    honest = matched.release_embedding

    def mean(private, plan, features, *, label, count_weight, context):  # type: ignore[no-untyped-def]
        noisy = honest(private, plan, features, label=label, count_weight=count_weight, context=context)
        return Embedding(noisy.shares, noisy.sums * 24 / len(private._records.ids))

    monkeypatch.setattr(matched, "release_embedding", mean)
    with pytest.raises(ReplayMismatch, match="release"):
        without(MERF, 0)
