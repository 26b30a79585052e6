"""A noisy validation: planned and charged before it reads, one vote for everything trained, and its choice reported."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Plan
from dpgen.data.datasets import ArrayRecords, PrivateDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DataError, PlanMismatch, UnknownName
from dpgen.evaluation.base import NOT_RELEASED
from dpgen.evaluation.candidates import Candidate
from dpgen.evaluation.metrics import Accuracy, InceptionScore, Memorisation
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.protocol import Protocol
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.selection import VALIDATION, NoisyValidation, Selection
from dpgen.ledger import Ledger
from dpgen.mechanisms.context import RunContext
from dpgen.networks.augment import GENTLE
from dpgen.networks.classifier import ImageClassifier
from dpgen.noise import SeededNoise

CLASSES = ("dark", "bright")
TINY = Recipe(steps=10, feature_steps=5, batch=16, width=4, augmentation=GENTLE)


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    return 0.4 * torch.rand(count, 1, 8, 8, generator=random) + 0.5 * labels[:, None, None, None], labels


def synthetic() -> SyntheticDataset:
    return SyntheticDataset(*images(60, 1), CLASSES)


def split() -> TestSplit:
    return TestSplit(*images(40, 2), CLASSES)


def private(*, planned: bool = True, seed: int = 0) -> PrivateDataset:
    """200 validation images on a ledger whose plan holds the charge, or another one."""
    ledger = Ledger(accountant=PldAccountant(), budget=Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE))
    charge = NoisyValidation.charge(ADD_OR_REMOVE_ONE, scale=10 if planned else 20)
    ledger.adopt(Plan((charge,)))
    pixels, labels = images(200, 3)
    records = ArrayRecords((255 * pixels).to(torch.uint8), labels)
    info = DatasetInfo(shape=Shape(1, 8, 8), class_names=CLASSES, nominal_records=200)
    return PrivateDataset(records, info, ledger=ledger, noise=SeededNoise(seed), context=RunContext())


def constant(label: int, training: int) -> Candidate:
    network = ImageClassifier(1, 2, 4)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(label), 2).float())
    return Candidate(network, "cnn", training, 0, 1, 1.0 - training)


def by_brightness(training: int) -> Candidate:
    """Right on every image, and the worst on synthetic ones."""

    class Bright(ImageClassifier):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.full((len(pixels),), 0.45), pixels.mean((1, 2, 3))], 1)

    return Candidate(Bright(1, 2, 4), "cnn", training, 0, 1, 0.0)


def test_the_best_on_private_images_wins_not_the_best_on_synthetic_ones() -> None:
    offered = [constant(0, 0), constant(1, 1), by_brightness(2)]
    assert NoisyValidation(private()).choose(offered) is offered[2]


def test_a_charge_that_is_not_the_planned_one_is_refused_before_reading() -> None:
    handle = private(planned=False)
    handle._records = None  # type: ignore[assignment]
    with pytest.raises(PlanMismatch):
        NoisyValidation(handle).choose([constant(0, 0)])


def test_one_charge_for_any_number_of_candidates_and_a_second_choice_is_refused() -> None:
    handle = private()
    rule = NoisyValidation(handle)
    rule.choose([constant(0, training) for training in range(7)])
    with pytest.raises(PlanMismatch):
        rule.choose([constant(0, 0)])
    with pytest.raises(DataError, match="needs a candidate"):
        NoisyValidation(private()).choose([])


def test_the_charge_says_what_it_costs() -> None:
    charge = NoisyValidation.charge(ADD_OR_REMOVE_ONE, scale=10)
    assert charge.label == VALIDATION
    assert charge.event.to_json() == {"type": "EpsilonDelta", "epsilon": math.nextafter(0.1, 1), "delta": 0.0}


class Scripted(Selection):
    """Names the second candidate, whatever it is worth."""

    chosen_on = "a script"
    named: str

    def choose(self, candidates):
        self.named = candidates[1]
        return candidates[1]

    def to_json(self):
        return {"chosen_on": self.chosen_on}


def test_the_choice_is_the_one_reported() -> None:
    from dpgen.evaluation.selection import fixed

    rule = Scripted()
    scores = Protocol(split(), metrics=[Accuracy()], recipe=TINY, selection=rule).evaluate(synthetic())
    assert scores["accuracy"].measured_by == scores.selection["classifier"] == fixed(rule.named).name
    assert scores.selection["chosen_on"] == "a script"


def test_noisy_validation_in_a_protocol() -> None:
    rule = NoisyValidation(private())
    scores = Protocol(split(), metrics=[Accuracy()], recipe=TINY, selection=rule, seeds=2).evaluate(synthetic())
    assert scores.selection["charge"] == VALIDATION
    assert scores.selection["candidates"] == 10
    assert "validation_accuracy" not in str(scores.to_json())
    spread = scores["accuracy_over_trainings"]
    values = [one["accuracy"] for one in spread.details["trainings"]]
    assert [one["seed"] for one in spread.details["trainings"]] == [0, 1]
    assert spread.value == pytest.approx(sum(values) / 2)
    assert spread.details["deviation"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    assert spread.note == NOT_RELEASED


def test_best_on_test_is_a_labelled_diagnostic_and_never_the_accuracy() -> None:
    plain = Protocol(split(), metrics=[Accuracy()], recipe=TINY).evaluate(synthetic())
    more = Protocol(split(), metrics=[Accuracy()], recipe=TINY, diagnostics=True).evaluate(synthetic())
    assert more["accuracy"] == plain["accuracy"]
    best = more["diagnostic_best_on_private_test"]
    assert best.value >= more["accuracy"].value
    assert best.note == NOT_RELEASED
    assert "not a result" in best.details["diagnostic"]
    assert "diagnostic_best_on_private_test" not in {score.name for score in plain.scores}


def test_what_a_metric_lacks_is_said_before_the_split_is_opened() -> None:
    test = split()
    for metric in (Memorisation(), InceptionScore()):
        with pytest.raises(DataError, match=f"{metric.name}: this metric needs"):
            Protocol(test, metrics=[metric], recipe=TINY).evaluate(synthetic())
    test.require_unopened()
    training = images(50, 4)[0]
    scores = Protocol(test, metrics=[Memorisation()], recipe=TINY, training=training).evaluate(synthetic())
    assert scores["memorisation"].touched.value == "private_train"


def test_recipes_name_known_classifiers() -> None:
    with pytest.raises(UnknownName, match="wide_resnet"):
        Recipe(classifiers=("wide_resnt",))


def test_evaluate_keeps_its_signature() -> None:
    assert list(inspect.signature(Protocol.evaluate).parameters) == ["self", "synthetic"]
