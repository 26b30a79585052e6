"""DP-VAE under replay: the same path on a neighbour; unclipped moments and a leaking encoder are caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.bounded_sum import BoundedSum
from dpgen.noise import NoiseSource
from dpgen.testing.replay import ReplayMismatch, record, replay
from dpgen_plugins.vae.dp_vae import DpVae

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=24)
SETTINGS = {
    "vae": {"latent": 3, "width": 4, "halvings": 1},
    "finetune": {"expected_batch": 12, "steps": 3, "views": 2},
}


def records(last: int = 0) -> ArrayRecords:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 1, 8, 8), generator=random, dtype=torch.uint8)
    pixels[23] = last
    return ArrayRecords(pixels, torch.arange(24) % 2)


def fitting(
    data: ArrayRecords, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        generator, accountant = DpVae(DpVae.Config.model_validate(SETTINGS)), RdpAccountant()
        budget = Budget(8.0, 1e-3, relation)
        plan = generator.plan(Task(INFO, None, 4), budget, accountant)
        ledger, context = Ledger(accountant, budget), RunContext()
        ledger.adopt(plan)
        private = PrivateDataset(data, INFO, ledger=ledger, noise=noise, context=context)
        generator.fit(private, None, plan, context)
        return generator.state_dict()

    return run


@pytest.mark.parametrize("missing", [0, 23])
def test_the_same_path_without_a_record(missing: int) -> None:
    tape = record(fitting(records()))
    replay(fitting(records().without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


def test_the_same_path_with_another_record() -> None:
    tape = record(fitting(records(0), REPLACE_ONE))
    replay(fitting(records(255), REPLACE_ONE), tape, relation=REPLACE_ONE)


def test_moments_without_their_clip_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def unclipped(self: BoundedSum, images: Tensor, labels: Tensor) -> Tensor:
        return 2 * self.vectors(images, labels).detach().double()

    monkeypatch.setattr(BoundedSum, "clipped", unclipped)
    tape = record(fitting(records()))
    with pytest.raises(ReplayMismatch, match="input moved"):
        replay(fitting(records().without(23)), tape, relation=ADD_OR_REMOVE_ONE)


def test_a_law_of_codes_taken_without_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DpVae._with_prior

    def clean(self, vae, private, plan, context):  # type: ignore[no-untyped-def]
        model = honest(self, vae, private, plan, context)
        images, labels = private._records.batch(private._records.ids)
        with torch.no_grad():
            model.network.mean[0] = vae.encoder(images, labels)[0].mean(0)
        return model

    monkeypatch.setattr(DpVae, "_with_prior", clean)
    tape = record(fitting(records()))
    with pytest.raises(ReplayMismatch):
        replay(fitting(records().without(23)), tape, relation=ADD_OR_REMOVE_ONE)
