"""Votes that hang on the batch they were computed in, as rounding does: they are the same whoever else is there."""

from __future__ import annotations

import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms import histogram, noisy_maximum
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.mechanisms.places import in_their_places
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

ROWS = 4
CONTEXT = RunContext(physical_batch=ROWS)


def data(count: int = 11) -> ArrayRecords:
    return ArrayRecords(torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1), torch.arange(count) % 3)


def vote(images, labels):
    """A near tie in every image, turned by the shape of the batch."""
    return torch.full((len(images), 1), len(images) % ROWS)


def ballot(images, labels):
    return torch.nn.functional.one_hot(vote(images, labels)[:, 0], ROWS)


MECHANISMS = [
    NoisyHistogram(cells=ROWS, votes=1, scale=3.0, vote=vote),
    NoisyMaximum(candidates=ROWS, scale=3, ballot=ballot),
]


def check(mechanism, victim: int) -> None:
    def run(records):
        return measuring(mechanism, records, relation=ADD_OR_REMOVE_ONE, context=CONTEXT)

    replay(run(data().without(victim)), record(run(data())), relation=ADD_OR_REMOVE_ONE)


def cut_from_those_present(records, rows):
    for first in range(0, len(records.ids), rows):
        images, labels = records.batch(records.ids[first : first + rows])
        yield images, labels, torch.arange(len(images))


@pytest.mark.parametrize("victim", range(11))
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=["histogram", "maximum"])
def test_one_record_changes_no_other_ones_vote(mechanism, victim) -> None:
    check(mechanism, victim)


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=["histogram", "maximum"])
def test_batches_of_those_present_are_caught(mechanism, monkeypatch) -> None:
    for module in (histogram, noisy_maximum):
        monkeypatch.setattr(module, "in_their_places", cut_from_those_present)
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(mechanism, 2)


def test_every_record_comes_once_in_its_row() -> None:
    found = list(in_their_places(data(10).without(5), ROWS))
    assert [len(images) for images, _, _ in found] == [ROWS] * 3
    seen = torch.cat([images[places, 0, 0, 0] * 255 for images, _, places in found])
    assert seen.round().long().tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert [labels[places].tolist() for _, labels, places in found] == [[0, 1, 2, 0], [1, 0, 1], [2, 0]]
    none = ArrayRecords(torch.zeros(0, 1, 1, 1, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    assert list(in_their_places(none, ROWS)) == []
