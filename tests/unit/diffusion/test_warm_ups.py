"""The stages between a release and DP-SGD: varied central images, and what the frequency stage assumes of classes."""

from __future__ import annotations

import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import PlanMismatch
from dpgen.events import Gaussian, NoOp
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.networks.unet import UNet
from dpgen.noise import SeededNoise
from dpgen_plugins.diffusion import frequency
from dpgen_plugins.diffusion.settings import FrequencySettings, NoiseLevelSettings, WarmUpSettings
from dpgen_plugins.diffusion.warm_up import PHASE, warm_up

INFO = DatasetInfo(Shape(1, 8, 8), ("a", "b"), nominal_records=10)
SETTINGS = FrequencySettings(features=20, steps=2, batch=6, width=2, latent=2, samples=7)


def warmed(**settings: float) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = UNet(channels=1, classes=2, base=4, multipliers=(1,))
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return warm_up(
        network,
        images,
        torch.arange(4) % 2,
        settings=WarmUpSettings(steps=3, batch=4, **settings),
        noise_levels=NoiseLevelSettings(),
        context=RunContext(),
    )


def test_the_variation_of_central_images_has_a_strength() -> None:
    plain, same, varied = warmed(jitter=0.0), warmed(jitter=0.0), warmed(jitter=1.0)
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert any(not torch.equal(plain[name], varied[name]) for name in plain)
    assert PHASE != "pretrain"


def released(records: ArrayRecords, plan: Plan) -> tuple[torch.Tensor, torch.Tensor, RunContext]:
    from dpgen.accountants.gdp import GdpAccountant

    ledger, context = Ledger(GdpAccountant(), Budget(100.0, 1e-3, ADD_OR_REMOVE_ONE)), RunContext()
    ledger.adopt(plan)
    private = PrivateDataset(records, INFO, ledger=ledger, noise=SeededNoise(0), context=context)
    images, labels = frequency.release_frequency_images(private, plan, SETTINGS, context)
    return images, labels, context


def records(count: int) -> ArrayRecords:
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return ArrayRecords(images, torch.arange(count) % 2)


def test_the_frequency_stage_gives_as_many_images_as_asked_for() -> None:
    images, labels, context = released(records(10), Plan((Charge(frequency.LABEL, Gaussian(1.0)),)))
    assert (images.dtype, images.shape, labels.tolist()) == (torch.uint8, (7, 1, 8, 8), [0, 1, 0, 1, 0, 1, 0])
    kept = context.checkpoints.load(frequency.LABEL)
    assert kept is not None
    assert kept.tensors["sums"].shape == (2, 1 + 20)  # each class is counted


def test_the_sums_of_the_frequency_stage_are_divided_by_the_declared_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(network, features, embedding, class_shares, **settings):  # type: ignore[no-untyped-def]
        seen.append((embedding, class_shares))
        return network.state_dict()

    monkeypatch.setattr(frequency, "match_embedding", watched)
    _, _, context = released(records(6), Plan((Charge(frequency.LABEL, Gaussian(1.0)),)))
    kept = context.checkpoints.load(frequency.LABEL)
    assert kept is not None
    ((embedding, shares),) = seen
    sums = kept.tensors["sums"][:, 1:]
    weight = frequency.COUNT_WEIGHT
    torch.testing.assert_close(embedding.double(), sums / (10 * (1 - weight**2) ** 0.5))
    assert shares.tolist() == [0.5, 0.5]  # ten records counted with noise of deviation 5


def test_another_event_in_the_plan_is_refused() -> None:
    with pytest.raises(PlanMismatch, match="frequency-features"):
        released(records(6), Plan((Charge(frequency.LABEL, NoOp()),)))
