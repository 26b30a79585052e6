"""Whole generators under replay: on a neighbour they take the same path and release the same model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Generator, PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.dp_sgd import clipped_gradient_sum, passes
from dpgen.noise import NoiseSource
from dpgen.testing.replay import ReplayMismatch, record, replay
from dpgen_plugins.diffusion import privimage
from dpgen_plugins.diffusion.dp_ldm import DpLdm
from dpgen_plugins.diffusion.dp_lora import DpLora
from dpgen_plugins.diffusion.dpdm import Dpdm
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.pdp_diffusion import PdpDiffusion
from dpgen_plugins.diffusion.privimage import PrivImage

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=24)
BUDGET = Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE)
NETWORK = {"base": 4, "multipliers": [1]}
FINETUNE = {"expected_batch": 8, "steps": 3, "views": 2}
QUERY = {"votes": 2, "classifier_steps": 2, "classifier_width": 4}


def images(count: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return pixels, torch.arange(count) % classes


PUBLIC = PublicDataset("toy", *images(30, 5, seed=1), ("v", "w", "x", "y", "z"))
RECORDS = ArrayRecords(*images(24, 2, seed=0))


def tiny_privimage(scope: str = "class", **others: object) -> PrivImage:
    query = QUERY | {"scope": scope} | others
    settings = {"network": NETWORK, "finetune": FINETUNE, "query": query, "pretrain": {"steps": 2, "batch": 4}}
    return PrivImage(PrivImage.Config.model_validate(settings))


def tiny_transfer(cls: type[Generator], **settings: object) -> Generator:
    shared = {"network": NETWORK, "finetune": FINETUNE, "pretrain": {"steps": 2, "batch": 4}}
    return cls(cls.Config.model_validate(shared | settings))


def tiny_dpdm() -> Dpdm:
    return Dpdm(Dpdm.Config.model_validate({"network": NETWORK, "finetune": FINETUNE}))


def fitting(make: Callable[[], Generator], records: ArrayRecords) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        generator, accountant = make(), RdpAccountant()
        plan = generator.plan(Task(INFO, PublicInfo("toy", PUBLIC.shape, PUBLIC.class_names), 4), BUDGET, accountant)
        ledger, context = Ledger(accountant, BUDGET), RunContext()
        ledger.adopt(plan)
        private = PrivateDataset(records, INFO, ledger=ledger, noise=noise, context=context)
        generator.fit(private, PUBLIC, plan, context)
        return generator.state_dict()

    return run


TRANSFER = [
    partial(tiny_transfer, PdpDiffusion),
    partial(tiny_transfer, DpLdm, space="latent", autoencoder={"steps": 2, "batch": 4, "width": 4, "codes": 2}),
    partial(tiny_transfer, DpLora, adapters={"rank": 2, "targets": ["*"]}),
]


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed")
def test_a_network_of_another_library_takes_the_same_path() -> None:
    make = partial(tiny_transfer, PdpDiffusion, network=NETWORK | {"kind": "diffusers"})
    tape = record(fitting(make, RECORDS))
    replay(fitting(make, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)


PRIVIMAGE = [
    tiny_privimage,
    partial(tiny_privimage, "all"),
    partial(tiny_privimage, network="pixel_cosines", ratio=0.4, noise_multiplier=30.0),
]


@pytest.mark.parametrize("make", [*PRIVIMAGE, tiny_dpdm, *TRANSFER])
@pytest.mark.parametrize("missing", [0, 7, 23])
def test_a_generator_takes_the_same_path_without_a_record(make: Callable[[], Generator], missing: int) -> None:
    tape = record(fitting(make, RECORDS))
    replay(fitting(make, RECORDS.without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


def test_a_generator_that_peeks_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: its starting weights depend, unnoised, on how many records there are."""

    def peeking(network, private, plan, **settings):  # type: ignore[no-untyped-def]
        with torch.no_grad():
            network.stem.bias += len(private._records.ids)
        return finetune(network, private, plan, **settings)

    monkeypatch.setattr(privimage, "finetune", peeking)
    tape = record(fitting(tiny_privimage, RECORDS))
    with pytest.raises(ReplayMismatch):
        replay(fitting(tiny_privimage, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)


def test_views_of_an_image_clipped_one_by_one_are_caught_dp_lora(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published DP-LoRA (reference fault P1): each view is clipped by itself, so an image counts `views` times."""

    def view_by_view(module, loss, rows, *, views, clip_norm, mask=None, **_):  # type: ignore[no-untyped-def]
        each = None if mask is None else mask.repeat_interleave(views)
        return clipped_gradient_sum(module, loss, rows, views=1, clip_norm=clip_norm, mask=each)

    # A network that has barely been trained has small gradients: the clip norm is smaller still.
    make = partial(tiny_transfer, DpLora, finetune=FINETUNE | {"expected_batch": 24, "views": 4, "clip_norm": 1e-9})
    tape = record(fitting(make, RECORDS))
    replay(fitting(make, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)
    monkeypatch.setattr(passes, "clipped_gradient_sum", view_by_view)
    tape = record(fitting(make, RECORDS))
    with pytest.raises(ReplayMismatch):
        replay(fitting(make, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)
