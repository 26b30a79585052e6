"""RepeatedGaussianSum under replay, and the faults of published code for central images as its broken twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms.bounded_sum import BoundedSum
from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum
from dpgen.testing.conformance.observed_events import charged, drawn
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

CLASSES, PIXELS, RARE = 3, 4, 7


def data(bright: int = 255) -> ArrayRecords:
    """Record 7 is bright, and the only one of the last class."""
    images = torch.full((12, 1, 2, 2), 9, dtype=torch.uint8)
    labels = torch.arange(12) % 2
    images[RARE], labels[RARE] = bright, 2
    return ArrayRecords(images, labels)


def pixels_and_one(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(images.flatten(1), (0, 1), value=1.0)


SETTINGS = dict(
    vectors=pixels_and_one,
    dimension=PIXELS + 1,
    clip_norm=1.5,
    noise_multiplier=2.0,
    rounds=3,
    sampling_probability=0.8,
    classes=CLASSES,
    batch=5,
)


def check(mechanism: RepeatedGaussianSum, first: ArrayRecords, second: ArrayRecords, relation=ADD_OR_REMOVE_ONE):
    tape = record(measuring(mechanism, first, relation=relation))
    replay(measuring(mechanism, second, relation=relation), tape, relation=relation)


@pytest.mark.parametrize("victim", [0, RARE, 11])
def test_add_or_remove_passes(victim):
    check(RepeatedGaussianSum(**SETTINGS), data(), data().without(victim))
    check(RepeatedGaussianSum(**SETTINGS), data().without(victim), data())


def test_replace_one_passes():
    check(RepeatedGaussianSum(**SETTINGS), data(255), data(0), relation=REPLACE_ONE)


def test_the_clip_removed(monkeypatch):
    monkeypatch.setattr(BoundedSum, "clipped", lambda self, images, labels: self.vectors(images, labels).double())
    with pytest.raises(ReplayMismatch, match=r"input moved 2\.24, declared sensitivity 1\.5"):
        check(RepeatedGaussianSum(**SETTINGS), data(), data().without(RARE))


class Twin(RepeatedGaussianSum):
    """What the others change: how a round's sum, and who was in it, become what is noised."""

    def _measure(self, records, *, noise, relation, context):
        rounds = []
        for step in range(self.rounds):
            joined = noise.poisson_subset(records.ids, probability=self.sampling_probability, step=step)
            rounds.append(self.released(self._sum().over(records, joined).numpy(), len(joined), noise, relation, step))
        return torch.from_numpy(np.stack(rounds))

    def noised(self, value, noise, relation, step, *, factor=1.0):
        return noise.gaussian(
            value,
            standard_deviation=factor * self.noise_multiplier * self.clip_norm,
            sensitivity=factor * self.sensitivity(relation),
            step=step,
        )


class MeanOfTheActualSample(Twin):
    """The noisy sum over the true size of the sample, which has no noise."""

    def released(self, total, joined, noise, relation, step):
        return self.noised(total, noise, relation, step) / max(1, joined)


class NoiseForTheExpectedClassCount(Twin):
    """DPImageBench's mean: over the actual count of the class, with noise for `expected batch // classes` records."""

    def released(self, total, joined, noise, relation, step):
        mean = total / np.maximum(total[:, -1:], 1)
        return self.noised(mean, noise, relation, step, factor=1 / (12 * self.sampling_probability // CLASSES))


@pytest.mark.parametrize(
    ("twin", "message"),
    [(MeanOfTheActualSample, "equal release"), (NoiseForTheExpectedClassCount, r"input moved .*, declared sensit")],
)
def test_a_mean_in_place_of_a_sum_is_caught(twin, message):
    with pytest.raises(ReplayMismatch, match=message):
        check(twin(**SETTINGS), data(), data().without(RARE))


class EachProcessItsOwn(RepeatedGaussianSum):
    """Two processes ask for images of their own; the charge is for one of them."""

    def _measure(self, records, *, noise, relation, context):
        parts = [
            RepeatedGaussianSum._measure(
                self, records, noise=noise.under(f"rank {rank}"), relation=relation, context=context
            )
            for rank in range(2)
        ]
        return torch.cat(parts)


@pytest.mark.parametrize(("kind", "honest"), [(RepeatedGaussianSum, True), (EachProcessItsOwn, False)])
def test_what_is_drawn_is_what_is_charged(kind, honest):
    mechanism = kind(**SETTINGS)
    tape = record(measuring(mechanism, data(), relation=ADD_OR_REMOVE_ONE))
    assert (drawn(tape.calls, ADD_OR_REMOVE_ONE) == charged(mechanism.event(ADD_OR_REMOVE_ONE))) is honest
