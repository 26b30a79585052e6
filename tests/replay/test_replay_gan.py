"""DPGAN and GS-WGAN under replay, and the published faults as twins that are caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.generators import Generator, PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.context import public_generator
from dpgen.mechanisms.dp_sgd import clipped_gradient_sum, passes
from dpgen.noise import NoiseSource
from dpgen.testing.conformance.observed_events import charged, drawn
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay
from dpgen_plugins.gan import dpgan, sharded_critics, shards
from dpgen_plugins.gan.critics import Critics
from dpgen_plugins.gan.dpgan import Dpgan
from dpgen_plugins.gan.gs_wgan import GsWgan
from dpgen_plugins.gan.networks import fresh_discriminator, fresh_generator
from dpgen_plugins.gan.settings import DiscriminatorSettings, GeneratorSettings
from dpgen_plugins.gan.sharded_critics import ShardedCritics

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=24)
NETWORKS = {
    "generator": {"latent": 2, "width": 2},
    "discriminator": {"width": 4, "halvings": 1},
    "generator_steps": {"every": 2, "batch": 4, "shown": 2},
    "pretrain": {"steps": 2, "batch": 4},
}
FINETUNE = {"expected_batch": 12, "steps": 4, "views": 2}
SHARDED = {
    "shards": {"count": 4, "per_step": 2, "batch": 3, "warm_up": 2},
    "slopes": {"expected_shards": 2, "steps": 4, "batch": 6},
}


def pixels(count: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


PUBLIC = PublicDataset("toy", pixels(30, seed=1), torch.arange(30) % 5, ("v", "w", "x", "y", "z"))
RECORDS = ArrayRecords(pixels(24, seed=0), torch.arange(24) % 2)


def tiny_dpgan(**finetune: object) -> Dpgan:
    return Dpgan(Dpgan.Config.model_validate(NETWORKS | {"finetune": FINETUNE | finetune}))


def tiny_gs_wgan() -> GsWgan:
    return GsWgan(GsWgan.Config.model_validate(NETWORKS | SHARDED))


def fitting(
    make: Callable[[], Generator], records: ArrayRecords, relation: NeighboringRelation = ADD_OR_REMOVE_ONE
) -> Callable[[NoiseSource], Mapping[str, Tensor]]:
    def run(noise: NoiseSource) -> Mapping[str, Tensor]:
        generator, accountant, budget = make(), RdpAccountant(), Budget(8.0, 1e-3, relation)
        plan = generator.plan(Task(INFO, PublicInfo("toy", PUBLIC.shape, PUBLIC.class_names), 4), budget, accountant)
        ledger, context = Ledger(accountant, budget), RunContext()
        ledger.adopt(plan)
        private = PrivateDataset(records, INFO, ledger=ledger, noise=noise, context=context)
        generator.fit(private, PUBLIC, plan, context)
        return generator.state_dict()

    return run


@pytest.mark.parametrize("make", [tiny_dpgan, tiny_gs_wgan])
@pytest.mark.parametrize("missing", [0])
def test_a_gan_takes_the_same_path_without_a_record(make: Callable[[], Generator], missing: int) -> None:
    tape = record(fitting(make, RECORDS))
    replay(fitting(make, RECORDS.without(missing)), tape, relation=ADD_OR_REMOVE_ONE)


@pytest.mark.parametrize("make", [tiny_dpgan, tiny_gs_wgan])
def test_a_gan_takes_the_same_path_with_another_record(make: Callable[[], Generator]) -> None:
    other = pixels(24, seed=0)
    other[5] = 255
    tape = record(fitting(make, RECORDS, REPLACE_ONE))
    replay(fitting(make, ArrayRecords(other, torch.arange(24) % 2), REPLACE_ONE), tape, relation=REPLACE_ONE)


def test_a_dpgan_that_peeks_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its generator starts from weights that depend, unnoised, on how many records there are."""
    honest = dpgan.train_privately

    def peeking(module, private, plan, **settings):  # type: ignore[no-untyped-def]
        module.generator.head.bias += len(private._records.ids)
        return honest(module, private, plan, **settings)

    monkeypatch.setattr(dpgan, "train_privately", peeking)
    tape = record(fitting(tiny_dpgan, RECORDS))
    with pytest.raises(ReplayMismatch):
        replay(fitting(tiny_dpgan, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)


def test_real_and_generated_terms_clipped_apart_with_noise_for_one_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(module, loss, rows, *, views, clip_norm, mask=None, **_):  # type: ignore[no-untyped-def]
        def real(module, images, labels, choice):  # type: ignore[no-untyped-def]
            return torch.relu(1 - module.discriminator(images, labels))

        found = clipped_gradient_sum(module, real, rows, views=views, clip_norm=clip_norm, mask=mask)
        for name, more in clipped_gradient_sum(
            module,
            lambda *a: loss(*a) - real(*a),  # type: ignore[no-untyped-call]
            rows,
            views=views,
            clip_norm=clip_norm,
            mask=mask,
        ).sum.items():
            found.sum[name].sub_(more)  # the wrong sign, so that they do not cancel
        return found

    def make() -> Dpgan:
        return tiny_dpgan(expected_batch=24, clip_norm=1e-3)

    tape = record(fitting(make, RECORDS))
    replay(fitting(make, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)
    monkeypatch.setattr(passes, "clipped_gradient_sum", apart)
    tape = record(fitting(make, RECORDS))
    with pytest.raises(ReplayMismatch, match="input moved"):
        replay(fitting(make, RECORDS.without(7)), tape, relation=ADD_OR_REMOVE_ONE)


SHARDS, BATCH, CLIP = 5, 24, 1e-3


def mechanism(**others: object) -> ShardedCritics:
    random = public_generator(0, "weights")
    settings: dict[str, object] = dict(
        generator=fresh_generator(GeneratorSettings(latent=2, width=2), INFO, random),
        critic=fresh_discriminator(DiscriminatorSettings(width=4, halvings=1), INFO, random),
        shards=SHARDS,
        sampling_probability=0.9,
        noise_multiplier=0.5,
        clip_norm=CLIP,
        steps=4,
        batch=BATCH,
        learning_rate=1e-3,
        critic_learning_rate=0.1,
        critic_batch=4,
        critics_per_step=5,
        warm_up=4,
        shown=2,
    )
    return ShardedCritics(**(settings | others))  # type: ignore[arg-type]


def few() -> ArrayRecords:
    """Few enough for empty shards: under the noise of seed 0 the records lie in the shards 1, 2, 3, 1, 0 and 0 of 5."""
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    images[:, :, ::2] = 255
    images[3] = 255 - images[3]
    return ArrayRecords(images, torch.arange(6) % 2)


def check(made: ShardedCritics, victim: int, relation: NeighboringRelation = ADD_OR_REMOVE_ONE) -> None:
    tape = record(measuring(made, few(), relation=relation))
    replay(measuring(made, few().without(victim), relation=relation), tape, relation=relation)


@pytest.mark.parametrize("victim", [0, 2, 5])
def test_sharded_critics_keep_their_bound(victim: int) -> None:
    check(mechanism(), victim)


def test_their_noise_is_what_is_charged() -> None:
    for relation in (ADD_OR_REMOVE_ONE, REPLACE_ONE):
        tape = record(measuring(mechanism(), few(), relation=relation))
        noised = [call for call in tape.calls if call.address.kind == "gaussian"]
        assert [call.address.step for call in noised] == [0, 1, 2, 3]
        assert {(call.scale, call.sensitivity) for call in noised} == {(0.5 * CLIP, 2 * CLIP)}
        joined = [call for call in tape.calls if call.address.kind == "poisson subset" and not call.address.path]
        assert [call.address.step for call in joined] == [0, 1, 2, 3]
        assert {call.scale for call in joined} == {0.9}
        noise = [leaf for leaf in drawn(tape.calls, relation) if leaf.law == "gaussian"]
        promised = charged(mechanism().event(relation), relation=relation)
        assert promised is not None
        assert all(found.near(one) for found, one in zip(noise, promised, strict=True))
        halved = charged(mechanism(noise_multiplier=0.25).event(relation), relation=relation)
        assert halved is not None
        assert not any(found.near(one) for found, one in zip(noise, halved, strict=True))


def test_rows_priced_singly_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published fault P2: the slopes of each image are clipped and noised like a release of their own."""

    def row_by_row(blocks: Tensor, clip_norm: float) -> Tensor:
        return shards.clipped_blocks(blocks.flatten(0, 1), clip_norm).view(blocks.shape)

    monkeypatch.setattr(sharded_critics, "clipped_blocks", row_by_row)
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(mechanism(), 2)


def critics_of(records: ArrayRecords, tape, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    made: list[Critics] = []

    def keeping(*arguments, **settings):  # type: ignore[no-untyped-def]
        made.append(Critics(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr(sharded_critics, "Critics", keeping)
    replay(measuring(mechanism(), records, relation=ADD_OR_REMOVE_ONE), tape, relation=None)
    return made[0].tensors()


def changed_shards(monkeypatch: pytest.MonkeyPatch, victim: int) -> int:
    tape = record(measuring(mechanism(), few(), relation=ADD_OR_REMOVE_ONE))
    first = critics_of(few(), tape, monkeypatch)
    try:
        second = critics_of(few().without(victim), tape, monkeypatch)
    except ReplayMismatch:  # several shards at once may move the sum too far
        return SHARDS
    changed = [any(not torch.equal(first[name][s], second[name][s]) for name in first) for s in range(SHARDS)]
    return sum(changed)


@pytest.mark.parametrize("victim", [1, 4])
def test_a_record_changes_one_critic_bit_for_bit(victim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed_shards(monkeypatch, victim) == 1


def test_one_checkpoint_for_all_critics_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published fault P3: every critic starts from what one of them learnt."""
    honest = Critics.learn

    def sharing(self, shards, *rows):  # type: ignore[no-untyped-def]
        honest(self, shards, *rows)
        for weight in self._weights.values():
            weight.copy_(weight[0].expand_as(weight))

    monkeypatch.setattr(Critics, "learn", sharing)
    assert changed_shards(monkeypatch, victim=4) > 1


def test_shards_cut_from_a_list_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published fault P4: who lies where depends on how many records there are, so that one moves the others."""

    def dealt_by_position(ids, noise, count):  # type: ignore[no-untyped-def]
        return np.arange(len(ids)) % count

    monkeypatch.setattr(shards, "shards_of", dealt_by_position)
    assert changed_shards(monkeypatch, victim=1) > 1


def who_learns(monkeypatch: pytest.MonkeyPatch, seed: int) -> list[list[int]]:
    found: list[list[int]] = []
    honest = Critics.learn

    def noting(self, shards, *rows):  # type: ignore[no-untyped-def]
        found.append(shards.tolist())
        honest(self, shards, *rows)

    monkeypatch.setattr(Critics, "learn", noting)
    record(measuring(mechanism(critics_per_step=2), few(), relation=ADD_OR_REMOVE_ONE), seed=seed)
    monkeypatch.setattr(Critics, "learn", honest)
    return found


def test_who_learns_is_a_public_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A critic trained only when drawn would carry the secret sample of one step into the next."""
    first, second = who_learns(monkeypatch, 1), who_learns(monkeypatch, 2)
    assert first == second
    assert first[-4:] == [[0, 1], [2, 3], [0, 4], [1, 2]]


def test_training_whom_was_drawn_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin, as published: the critics that joined the step before."""
    honest = sharded_critics._Training._released_slopes
    learnt: list[list[int]] = []

    def training_the_drawn(self, images, labels, sensitivity):  # type: ignore[no-untyped-def]
        settings = self._settings
        joined = self._noise.poisson_subset(
            np.arange(settings.shards), probability=settings.sampling_probability, step=self.state.step
        )
        learnt.append(joined.tolist())
        if len(joined):
            self._critics_learn(joined, "drawn", self.state.step)
        return honest(self, images, labels, sensitivity)

    monkeypatch.setattr(sharded_critics._Training, "_released_slopes", training_the_drawn)
    made = mechanism(critics_per_step=2, sampling_probability=0.5)
    runs = []
    for seed in (1, 2):
        learnt.clear()
        record(measuring(made, few(), relation=ADD_OR_REMOVE_ONE), seed=seed)
        runs.append([*learnt])
    assert runs[0] != runs[1]
