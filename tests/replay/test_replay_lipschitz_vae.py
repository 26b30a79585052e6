"""The sampling of posteriors under replay, and its broken twins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.mechanisms.lipschitz import certify
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, Provenance, codes
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

PUBLIC = Provenance.public("averages")
ENCODER = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
torch.manual_seed(0)
DECODER = nn.Sequential(nn.Linear(4, 9), nn.Tanh())
DECODED = {
    "decoder": DECODER,
    "decoder_weights": PUBLIC,
    "decoder_certificate": certify(DECODER, (4,)),
    "output_deviation": 0.3,
}


def data(bright: int = 255, label: int = 1) -> ArrayRecords:
    images = torch.arange(12 * 16, dtype=torch.uint8).view(12, 1, 4, 4)
    labels = torch.arange(12) % 3
    images[4], labels[4] = bright, label
    return ArrayRecords(images, labels)


def sampling(**settings) -> LipschitzVaeSampling:
    plain = {"encoder": ENCODER, "weights": PUBLIC, "dimension": 4, "clip_radius": 0.7, "deviation": 1.1}
    return LipschitzVaeSampling(**(plain | {"draws": 30, "minimum_records": 8} | settings))


MECHANISMS = {
    "aggregate": sampling(),
    "filled": sampling(minimum_records=20, promised=False),
    "by class": sampling(classes=3),
    "decoded": sampling(**DECODED),
}


def check(mechanism, first, second, relation=ADD_OR_REMOVE_ONE) -> None:
    tape = record(measuring(mechanism, first, relation=relation))
    replay(measuring(mechanism, second, relation=relation), tape, relation=relation)


@pytest.mark.parametrize("mechanism", MECHANISMS.values(), ids=MECHANISMS)
@pytest.mark.parametrize("victim", [0, 4, 11])
def test_add_or_remove_passes(mechanism, victim) -> None:
    check(mechanism, data(), data().without(victim))
    check(mechanism, data().without(victim), data())


@pytest.mark.parametrize("mechanism", [*MECHANISMS.values(), sampling(mode="record", draws=None, minimum_records=None)])
def test_replace_one_passes(mechanism) -> None:
    check(mechanism, data(), data(bright=0), relation=REPLACE_ONE)
    check(mechanism, data(), data(bright=0, label=2), relation=REPLACE_ONE)


@pytest.mark.parametrize("classes", [None, 3])
def test_the_clip_removed(classes, monkeypatch) -> None:
    monkeypatch.setattr(codes, "project_onto_ball", lambda found, radius: found.double())
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(sampling(classes=classes, encoder=nn.Sequential(ENCODER, _Stretch())), data(), data().without(4))


def test_a_ball_of_twice_the_radius(monkeypatch) -> None:
    honest = codes.project_onto_ball
    monkeypatch.setattr(
        codes, "project_onto_ball", lambda found, radius: honest(2 * radius * (found - 0.5), 2 * radius)
    )
    with pytest.raises(ReplayMismatch, match=r"declared sensitivity 1\.4,"):
        check(sampling(), data(), data(bright=0), relation=REPLACE_ONE)


def test_a_code_that_may_change_its_class_at_the_price_of_one(monkeypatch) -> None:
    monkeypatch.setattr(LipschitzVaeSampling, "sensitivity", lambda self, relation: 2 * self.clip_radius, raising=True)
    spread = ArrayRecords(data()._images[[0, 4]], torch.tensor([0, 1]))
    changed = ArrayRecords(data()._images[[0, 4]], torch.tensor([0, 0]))
    far = sampling(classes=2, minimum_records=1, encoder=nn.Sequential(ENCODER, _Stretch()))
    with pytest.raises(ReplayMismatch, match="input moved"):
        check(far, spread, changed, relation=REPLACE_ONE)


class _Stretch(nn.Module):
    """Dark images to one end of the ball and bright ones to the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 100 * (x - 0.5)


def test_as_many_draws_as_there_are_records() -> None:
    def run(records):
        mechanism = sampling(draws=len(records.ids))
        return measuring(mechanism, records, relation=ADD_OR_REMOVE_ONE)

    with pytest.raises(ReplayMismatch, match="noise depends on a record"):
        replay(run(data().without(0)), record(run(data())))


def test_filling_up_to_the_true_count() -> None:
    def run(records):
        mechanism = sampling(minimum_records=len(records.ids))
        return measuring(mechanism, records, relation=ADD_OR_REMOVE_ONE)

    with pytest.raises(ReplayMismatch, match="noise depends on a record"):
        replay(run(data().without(0)), record(run(data())))


def test_rejecting_codes_near_a_record_is_another_look(monkeypatch) -> None:
    """Rejection by closeness to private codes: the release depends on more than the noised values."""
    honest = LipschitzVaeSampling._measure

    def rejecting(self, records, **given):
        released = honest(self, records, **given)
        found, _ = codes.clipped_codes(self, records, given["context"])
        return released[torch.cdist(released, found).min(1).values > 1.0]

    monkeypatch.setattr(LipschitzVaeSampling, "_measure", rejecting)
    two = ArrayRecords(data()._images[[0, 4]], torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ReplayMismatch, match="equal release"):
        check(sampling(draws=300), two, two.without(1))
