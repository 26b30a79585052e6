"""DP-SGD under replay, wrong randomness: batches that are not Poisson, draws used twice, public draws by position."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import SensitivityError
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.dp_sgd import ClippedSum, DpSgd, clipped_gradient_sum, passes
from dpgen.noise import SeededNoise
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

VICTIM, CLIP, PROBABILITY, STEPS = 4, 0.5, 0.5, 4


def data(*, dark: bool = False) -> ArrayRecords:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 1, 2, 2), generator=generator, dtype=torch.uint8)
    images[VICTIM] = 0 if dark else 255
    return ArrayRecords(images, torch.arange(16) % 2)


def inputs(images, labels, *, views, random):
    rows = images.repeat_interleave(views, 0)
    return rows * (1 + random.uniform(1, 1, 1)), labels.repeat_interleave(views)


def loss(module, images, labels):
    return (module(images.flatten(1))[:, 0] - labels).square()


def make(cls: type[DpSgd] = DpSgd, **changes) -> DpSgd:
    torch.manual_seed(0)
    settings = {
        "module": nn.Linear(4, 1), "inputs": inputs, "loss": loss, "clip_norm": CLIP, "noise_multiplier": 1.0,
        "sampling_probability": PROBABILITY, "steps": STEPS, "nominal_records": 16,
        "optimizer": partial(torch.optim.SGD, lr=0.1), "views": 2,
    }  # fmt: skip
    return cls(**(settings | changes))


def check(mechanism: DpSgd) -> None:
    run = partial(measuring, mechanism, relation=ADD_OR_REMOVE_ONE)
    tape = record(run(data(), context=RunContext(physical_batch=1000)))
    joined = [SeededNoise(0).poisson_subset(np.arange(16), probability=PROBABILITY, step=s) for s in range(STEPS)]
    assert any(VICTIM in ids for ids in joined), "the victim must join a sample"
    replay(run(data().without(VICTIM), context=RunContext(physical_batch=1000)), tape, relation=ADD_OR_REMOVE_ONE)


def test_the_sound_mechanism_passes():
    check(make())


def test_shuffled_batches_instead_of_poisson_samples():
    class Shuffling(DpSgd):
        """Eight records a step, from a secret permutation: the accountant's sampling does not take place."""

        def _clipped_sum(self, state, records, noise, *others):
            order = np.random.default_rng(1).permutation(records.ids)
            first = 8 * state.step % len(order)
            ids = np.sort(order[first : first + 8])
            everyone = ArrayRecords(*_taken(records, ids), ids)
            return DpSgd._clipped_sum(make(sampling_probability=1.0), state, everyone, noise, *others)

    with pytest.raises(ReplayMismatch):
        check(make(Shuffling))


def _taken(records: ArrayRecords, ids) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = records.batch(ids)
    return (images * 255).to(torch.uint8), labels


def test_one_draw_used_for_two_steps():
    """The same noise on two steps cancels by subtraction, whatever its scale."""

    class Repeating(DpSgd):
        def _noised(self, total, *, noise, relation, step):
            return super()._noised(total, noise=noise, relation=relation, step=0)

    def addresses(mechanism: DpSgd) -> list:
        tape = record(measuring(mechanism, data(), relation=ADD_OR_REMOVE_ONE))
        return [call.address for call in tape.calls if call.address.kind == "gaussian"]

    assert len(set(addresses(make()))) == len(addresses(make())) == STEPS * 2  # two tensors a step
    assert len(set(addresses(make(Repeating)))) == 2
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(make(Repeating))


def test_a_public_loss_seed_indexed_by_batch_position():
    """One record less shifts the draw of every record after it."""

    def by_position(images, labels, *, views, random):
        draws = torch.rand(len(images), 1, 1, 1, generator=torch.Generator().manual_seed(0))
        return (images * (1 + draws)).repeat_interleave(views, 0), labels.repeat_interleave(views)

    with pytest.raises(ReplayMismatch, match="input moved"):
        check(make(inputs=by_position))


def test_a_nan_example_that_poisons_the_sum(monkeypatch):
    """A factor of zero is no protection: 0 * NaN is NaN."""

    def explosive(module, images, labels):
        whole = images.flatten(1).amin(1) > 0.9  # the victim alone
        return loss(module, images, labels) / torch.where(whole, 0.0, 1.0)

    check(make(loss=explosive))

    def poisoned(*arguments, **options):
        found = clipped_gradient_sum(*arguments, **options)
        spoilt = (0.0 * found.norms).sum()  # each example times its factor, 0 where it is not finite
        return ClippedSum({name: total + spoilt for name, total in found.sum.items()}, found.norms)

    monkeypatch.setattr(passes, "clipped_gradient_sum", poisoned)
    with pytest.raises(SensitivityError, match="must be finite"):
        check(make(loss=explosive))
