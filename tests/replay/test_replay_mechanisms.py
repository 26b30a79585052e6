"""GaussianSum and NoisyHistogram under replay, and their broken twins; the messages that a plugin author sees."""

from __future__ import annotations

import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms import histogram
from dpgen.mechanisms.bounded_sum import BoundedSum
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay


def data(bright: int = 255) -> ArrayRecords:
    images = torch.full((12, 1, 2, 2), 9, dtype=torch.uint8)
    images[4] = bright
    return ArrayRecords(images, torch.arange(12) % 3)


def greedy(images, labels):
    """More votes than declared, repeated and outside ones among them; other cells for bright images."""
    bright = (images.amax((1, 2, 3)) > 0.5).long()
    return torch.stack([labels + 3 * bright, labels + 3 * bright, 6 + bright, 8 + bright, -labels, 99 + labels], 1)


HISTOGRAM = NoisyHistogram(cells=10, votes=2, scale=3.0, vote=greedy)
SUM = GaussianSum(
    vectors=lambda images, labels: 100 * images.flatten(1), dimension=4, clip_norm=2.24, noise_multiplier=1.0, batch=5
)


def check(mechanism, first, second, relation=ADD_OR_REMOVE_ONE, label="semantic-query"):
    def named(records):
        run = measuring(mechanism, records, relation=relation)
        return lambda noise: run(noise.under(label))

    replay(named(second), record(named(first)), relation=relation)


@pytest.mark.parametrize("mechanism", [HISTOGRAM, SUM], ids=["histogram", "sum"])
@pytest.mark.parametrize("victim", [0, 4, 11])
def test_add_or_remove_passes(mechanism, victim):
    check(mechanism, data(), data().without(victim))
    check(mechanism, data().without(victim), data())


@pytest.mark.parametrize("mechanism", [HISTOGRAM, SUM], ids=["histogram", "sum"])
def test_replace_one_passes(mechanism):
    check(mechanism, data(bright=255), data(bright=0), relation=REPLACE_ONE)


def test_votes_not_limited(monkeypatch):
    honest = histogram._first_distinct
    monkeypatch.setattr(
        histogram, "_first_distinct", lambda votes, *, cells, limit: honest(votes, cells=cells, limit=9)
    )
    with pytest.raises(ReplayMismatch) as caught:
        check(HISTOGRAM, data(), data().without(4))
    assert str(caught.value).startswith("input moved 1.73, declared sensitivity 1.41, release 'semantic-query'")


def test_repeated_votes_counted(monkeypatch):
    monkeypatch.setattr(histogram, "_first_distinct", lambda votes, *, cells, limit: votes[:, :limit])
    with pytest.raises(ReplayMismatch, match=r"input moved 2, declared sensitivity 1.41"):
        check(HISTOGRAM, data(), data().without(4))


def test_sensitivity_of_one_vote_declared_for_two():
    class Careless(NoisyHistogram):
        def sensitivity(self, relation):
            return 1.0

    with pytest.raises(ReplayMismatch, match=r"input moved 1.41, declared sensitivity 1"):
        check(Careless(cells=10, votes=2, scale=3.0, vote=greedy), data(), data().without(4))


def test_the_clip_of_a_sum_removed(monkeypatch):
    monkeypatch.setattr(BoundedSum, "clipped", lambda self, images, labels: self.vectors(images, labels).double())
    with pytest.raises(ReplayMismatch, match=r"input moved 200, declared sensitivity 2.24, release 'semantic-query'"):
        check(SUM, data(), data().without(4))


def test_a_mean_instead_of_a_sum():
    class Mean(GaussianSum):
        """Divides by the private count, after the noise."""

        def _measure(self, records, **arguments):
            return super()._measure(records, **arguments) / len(records.ids)

    broken = Mean(vectors=SUM.vectors, dimension=4, clip_norm=2.24, noise_multiplier=1.0)
    with pytest.raises(ReplayMismatch, match="equal release"):
        check(broken, data(), data().without(4))


def test_a_shape_that_depends_on_the_records():
    def run(records):
        return lambda noise: noise.gaussian(torch.zeros(len(records.ids)).numpy(), standard_deviation=1, sensitivity=9)

    with pytest.raises(ReplayMismatch, match="shape depends on a record"):
        replay(run(data().without(0)), record(run(data())))


def test_a_second_look_is_seen():
    def run(looks):
        def looking(noise):
            for step in range(looks):
                noise.gaussian(torch.zeros(2).numpy(), standard_deviation=1, sensitivity=1, step=step)

        return looking

    replay(run(2), record(run(2)))
    with pytest.raises(ReplayMismatch, match="expected no further noise call"):
        replay(run(3), record(run(2)))
    with pytest.raises(ReplayMismatch, match="found the end of the run"):
        replay(run(1), record(run(2)))
