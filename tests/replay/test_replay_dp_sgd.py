"""DP-SGD under replay: the mechanism passes, and every classic mistake, put in on purpose, is caught."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.dp_sgd import ClippedSum, DpSgd, clipped_gradient_sum, passes
from dpgen.noise import SeededNoise
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

VICTIM = 11  # the record that leaves; its gradient is by far the longest
PROBABILITY, STEPS, CLIP = 0.4, 4, 0.5


class FloatRecords(ArrayRecords):
    """Records whose images are given as floats, so that one can be an outlier."""

    def __init__(self, images, labels, ids=None):
        super().__init__(torch.zeros(images.shape, dtype=torch.uint8), labels, ids)
        self.floats = images

    def batch(self, ids):
        rows = np.searchsorted(self.ids, ids)
        return self.floats[rows], self._labels[rows]

    def without(self, record):
        keep = self.ids != record
        return FloatRecords(self.floats[keep], self._labels[keep], self.ids[keep])

    def changed(self, record, value, label=0):
        images, labels = self.floats.clone(), self._labels.clone()
        images[self.ids == record], labels[self.ids == record] = value, label
        return FloatRecords(images, labels, self.ids)


def data(count: int = 20) -> FloatRecords:
    images = torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    if count > VICTIM:
        images[VICTIM] = 100.0
    return FloatRecords(images, torch.arange(count) % 2, np.arange(count))


def inputs(images, labels, *, views, random):
    rows = images.repeat_interleave(views, 0)
    return rows * (1 + 0.1 * random.uniform(1, 1, 1)), labels.repeat_interleave(views)


def loss(module, images, labels):
    return (module(images.flatten(1))[:, 0] - labels).square()


def make(cls: type[DpSgd] = DpSgd, **changes) -> DpSgd:
    torch.manual_seed(0)
    settings = {
        "module": nn.Linear(4, 1), "inputs": inputs, "loss": loss, "clip_norm": CLIP, "noise_multiplier": 1.0,
        "sampling_probability": PROBABILITY, "steps": STEPS, "nominal_records": 20,
        "optimizer": partial(torch.optim.SGD, lr=0.1), "views": 3,
    }  # fmt: skip
    return cls(**(settings | changes))


def sample(step: int):
    return SeededNoise(0).poisson_subset(np.arange(20), probability=PROBABILITY, step=step)


def check(mechanism: DpSgd, first=None, second=None, *, relation=ADD_OR_REMOVE_ONE, physical_batch: int = 6) -> None:
    first = data() if first is None else first
    second = first.without(VICTIM) if second is None else second
    run = partial(measuring, mechanism, relation=relation, context=None)
    context = lambda: RunContext(physical_batch=physical_batch)  # noqa: E731  (each run needs its own checkpoints)
    tape = record(run(first, context=context()))
    assert any(VICTIM in sample(step) for step in range(STEPS)), "the victim must join a sample"
    replay(run(second, context=context()), tape, relation=relation)


def break_gradients(monkeypatch, broken) -> None:
    monkeypatch.setattr(passes, "clipped_gradient_sum", broken)


@pytest.mark.parametrize("physical_batch", [1, 6, 1000])
def test_the_mechanism_passes(physical_batch):
    check(make(), physical_batch=physical_batch)
    check(make(), data().without(VICTIM), data(), physical_batch=physical_batch)


def test_the_mechanism_passes_under_replace_one():
    check(make(), data(), data().changed(VICTIM, -50.0), relation=REPLACE_ONE)


def test_the_mechanism_passes_with_a_non_finite_record():
    check(make(), data().changed(VICTIM, float("nan")))


def test_the_clip_removed(monkeypatch):
    def unclipped(module, loss, rows, *, views, clip_norm, **_):
        return clipped_gradient_sum(module, loss, rows, views=views, clip_norm=1e9)

    break_gradients(monkeypatch, unclipped)
    with pytest.raises(ReplayMismatch, match=r"input moved .*, declared sensitivity 0.5"):
        check(make())


def test_the_clip_ten_percent_too_long(monkeypatch):
    def longer(module, loss, rows, *, views, clip_norm, **_):
        return clipped_gradient_sum(module, loss, rows, views=views, clip_norm=1.1 * clip_norm)

    break_gradients(monkeypatch, longer)
    with pytest.raises(ReplayMismatch, match=r"input moved 0.55, declared sensitivity 0.5"):
        check(make())


def test_each_view_clipped_as_if_it_were_an_example(monkeypatch):
    def per_view(module, loss, rows, *, views, clip_norm, **_):
        return clipped_gradient_sum(module, loss, rows, views=1, clip_norm=clip_norm)

    break_gradients(monkeypatch, per_view)
    with pytest.raises(ReplayMismatch, match=r"input moved 1.5, declared sensitivity 0.5"):
        check(make())


def test_each_tensor_clipped_by_itself(monkeypatch):
    def per_tensor(module, loss, rows, *, views, clip_norm, **_):
        whole = clipped_gradient_sum(module, loss, rows, views=views, clip_norm=1e9).sum
        return ClippedSum({n: t * (clip_norm / t.norm()).clamp(max=1) for n, t in whole.items()}, torch.empty(0))

    break_gradients(monkeypatch, per_tensor)
    with pytest.raises(ReplayMismatch, match=r"up to tensor 'bias'"):
        check(make(), physical_batch=1)


def test_one_non_finite_example_that_silences_its_batch(monkeypatch):
    def poisoned(module, loss, rows, *, views, clip_norm, **_):
        found = clipped_gradient_sum(module, loss, rows, views=views, clip_norm=clip_norm)
        alive = 1.0 if found.norms.isfinite().all() else 0.0
        return ClippedSum({name: t * alive for name, t in found.sum.items()}, found.norms)

    break_gradients(monkeypatch, poisoned)
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(make(), data().changed(VICTIM, float("nan")), physical_batch=1000)


def test_replace_one_at_the_add_or_remove_sensitivity():
    class Halved(DpSgd):
        def sensitivity(self, relation):
            return self.clip_norm

    opposite = [data().changed(VICTIM, 100.0, label) for label in (-(10**6), 10**6)]  # gradients of opposite sign
    check(make(), *opposite, relation=REPLACE_ONE)
    with pytest.raises(ReplayMismatch, match=r"input moved 1, declared sensitivity 0.5"):
        check(make(Halved), *opposite, relation=REPLACE_ONE)


def test_the_actual_batch_size_as_divisor():
    """The noise call itself is spotless; only what is released afterwards tells."""
    joined = []

    class Averaged(DpSgd):
        """Divides by how many records really joined."""

        def _clipped_sum(self, state, records, noise, *others):
            joined.append(noise.poisson_subset(records.ids, probability=self.sampling_probability, step=state.step))
            return super()._clipped_sum(state, records, noise, *others)

        def _noised(self, total, *, noise, relation, step):
            expected = self.sampling_probability * self.nominal_records
            noised = super()._noised(total, noise=noise, relation=relation, step=step)
            return {name: t * (expected / len(joined[-1])) for name, t in noised.items()}

    until_the_victim_joins = 1 + next(s for s in range(STEPS) if VICTIM in sample(s))
    check(make(steps=until_the_victim_joins))
    with pytest.raises(ReplayMismatch, match="actual batch size"):
        check(make(Averaged, steps=until_the_victim_joins))


def test_an_empty_batch_dropped():
    class Dropping(DpSgd):
        """Skips the noise where nobody joined."""

        def _noised(self, total, *, noise, relation, step):
            if not any(t.any() for t in total.values()):
                return {name: t.float() for name, t in total.items()}
            return super()._noised(total, noise=noise, relation=relation, step=step)

    alone = FloatRecords(data().floats[[VICTIM]], torch.zeros(1, dtype=torch.int64), np.array([VICTIM]))
    check(make(), alone)
    with pytest.raises(ReplayMismatch, match="path depends on a record"):
        check(make(Dropping), alone)


def test_noise_for_each_physical_batch():
    everyone = sample(0)
    size = len(everyone) - 1  # two physical batches on D, one where any of them is missing

    class Generous(DpSgd):
        """Noises every physical batch: how many there are is a function of the private sample."""

        def _clipped_sum(self, state, records, noise, *others):
            joined = noise.poisson_subset(records.ids, probability=self.sampling_probability, step=state.step)
            for chunk in range(math.ceil(len(joined) / size)):
                noise.gaussian(np.zeros(1), standard_deviation=1, sensitivity=CLIP, step=state.step, tensor=f"{chunk}")
            return super()._clipped_sum(state, records, noise, *others)

    check(make(steps=1), data(), data().without(everyone[0]))
    with pytest.raises(ReplayMismatch, match="path depends on a record"):
        check(make(Generous, steps=1), data(), data().without(everyone[0]))


def test_noise_that_depends_on_the_sample():
    class Adaptive(DpSgd):
        def _noised(self, total, *, noise, relation, step):
            length = float(sum(t.square().sum() for t in total.values())) ** 0.5
            adapted = replace(make(), noise_multiplier=1 + length)
            return DpSgd._noised(adapted, total, noise=noise, relation=relation, step=step)

    with pytest.raises(ReplayMismatch, match="noise depends on a record"):
        check(make(Adaptive))


def test_a_population_that_depends_on_a_record():
    class Filtering(DpSgd):
        """Drops five records when the brightest image is very bright."""

        def _clipped_sum(self, state, records, noise, *others):
            bright = bool((records.batch(records.ids)[0] > 10).any())
            kept = FloatRecords(records.floats[5:], records._labels[5:], records.ids[5:]) if bright else records
            return super()._clipped_sum(state, kept, noise, *others)

    with pytest.raises(ReplayMismatch, match="drawn from all records"):
        check(make(Filtering))
