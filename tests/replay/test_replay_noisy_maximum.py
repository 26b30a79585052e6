"""NoisyMaximum under replay, and the twins that DPImageBench's evaluation is made of."""

from __future__ import annotations

import pytest
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms.base import Mechanism
from dpgen.mechanisms.noisy_maximum import NoisyMaximum
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay


def data(label: int = 1) -> ArrayRecords:
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 0, 1, label])  # 0 and 1 are nearly even: one record decides
    return ArrayRecords(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), labels)


def ballot(images, labels):
    return torch.stack([labels == 0, labels == 1, labels >= 0], 1)[:, :2]


HONEST = NoisyMaximum(candidates=2, scale=4, ballot=ballot)


def check(mechanism, first, second, relation=ADD_OR_REMOVE_ONE):
    def named(records):
        run = measuring(mechanism, records, relation=relation)
        return lambda noise: run(noise.under("validation"))

    replay(named(second), record(named(first)), relation=relation)


@pytest.mark.parametrize("victim", [0, 5, 8])
def test_add_or_remove_passes(victim):
    check(HONEST, data(), data().without(victim))
    check(HONEST, data().without(victim), data())


def test_replace_one_passes():
    check(HONEST, data(label=1), data(label=0), relation=REPLACE_ONE)


class Twin(Mechanism[torch.Tensor]):
    """A broken relative of the mechanism, with its price."""

    def event(self, relation):
        return HONEST.event(relation)

    def sensitivity(self, relation):
        return HONEST.sensitivity(relation)

    def counts(self, records):
        return ballot(*records.batch(records.ids)).long().sum(0).numpy()


class CleanChoice(Twin):
    """Computes the noisy choice, then reports the clean one."""

    def _measure(self, records, *, noise, relation, context):
        counts = self.counts(records)
        noise.geometric(counts, scale=4, sensitivity=self.sensitivity(relation))
        return torch.tensor(int(counts.argmax()))


class AccuracyBesideTheChoice(Twin):
    """Reports the winner's clean count beside the winner."""

    def _measure(self, records, *, noise, relation, context):
        counts = self.counts(records)
        best = noise.geometric(counts, scale=4, sensitivity=self.sensitivity(relation)).argmax()
        return torch.tensor([int(best), int(counts[best])])


def test_reporting_the_clean_choice_is_caught():
    with pytest.raises(ReplayMismatch, match="equal release"):
        check(CleanChoice(), data(), data(label=0), relation=REPLACE_ONE)


def test_reporting_the_clean_accuracy_is_caught():
    caught = 0
    for victim in (0, 8):  # one of them voted for the winner
        try:
            check(AccuracyBesideTheChoice(), data(), data().without(victim))
        except ReplayMismatch as mismatch:
            caught += "equal release" in str(mismatch)
    assert caught == 1


def test_unbounded_ballots_are_caught(monkeypatch):
    def loud(images, labels):
        return 50 * ballot(images, labels)

    mechanism = NoisyMaximum(candidates=2, scale=4, ballot=loud)
    check(mechanism, data(), data().without(4))  # bounded, whatever the ballot says
    monkeypatch.setattr(
        NoisyMaximum, "_votes", lambda self, images, labels, places: self.ballot(images, labels)[places].sum(0)
    )
    with pytest.raises(ReplayMismatch, match="input moved 50"):
        check(mechanism, data(), data().without(4))
