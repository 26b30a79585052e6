from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset, SyntheticDataset
from dpgen.data.info import Shape
from dpgen.errors import DataError, InvalidValue, SelectionOnTest, TestSetReused, UnknownName
from dpgen.evaluation.base import NOT_RELEASED, Evidence, Metric, Score, Touched
from dpgen.evaluation.candidates import Candidate, split_synthetic, train_candidates
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.protocol import Protocol
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.scores import Scores
from dpgen.evaluation.selection import FixedClassifier, HeldOutSynthetic
from dpgen.mechanisms.context import Advance, Progress, SilentProgress
from dpgen.networks.augment import GENTLE, PHOTOGRAPH
from dpgen.networks.classifier import ImageClassifier

CLASSES = ("row", "column")
TINY = Recipe(steps=30, feature_steps=5, batch=32, width=4, augmentation=GENTLE)


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images `[n, 1, 8, 8]` of noise with a bright row (class 0) or a bright column (class 1) at a random place."""
    random = torch.Generator().manual_seed(seed)
    images = 0.4 * torch.rand(count, 1, 8, 8, generator=random)
    labels = torch.randint(0, 2, (count,), generator=random)
    places = torch.randint(1, 7, (count,), generator=random)
    for image, label, place in zip(images, labels.tolist(), places.tolist(), strict=True):
        image[0].select(label, place).fill_(0.9)
    return images, labels


def synthetic(count: int = 200, seed: int = 1) -> SyntheticDataset:
    return SyntheticDataset(*bars(count, seed), CLASSES)


def unopened(count: int = 60, seed: int = 2) -> TestSplit:
    return TestSplit(*bars(count, seed), CLASSES)


def public() -> PublicDataset:
    images, labels = bars(80, seed=3)
    return PublicDataset("bars", (images * 255).to(torch.uint8), labels, ("a", "b"))


def fixed() -> FixedClassifier:
    return FixedClassifier(ImageClassifier(1, 2, 4), held_out_accuracy=0.5)


class Recorder(Progress):
    def __init__(self) -> None:
        self.phases: list[tuple[str, int, int]] = []

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        done: list[int] = []
        yield done.append
        self.phases.append((phase, total, sum(done)))


@pytest.fixture(scope="module")
def evaluated() -> tuple[Scores, Recorder]:
    progress = Recorder()
    return Protocol(unopened(), public(), recipe=TINY, progress=progress).evaluate(synthetic()), progress


def test_every_number_is_there_and_marked(evaluated: tuple[Scores, Recorder]) -> None:
    scores, _ = evaluated
    names = [score.name for score in scores.scores]
    assert names == [
        "held_out_synthetic_accuracy",
        "accuracy",
        "balanced_accuracy",
        "frechet_distance",
        "precision",
        "recall",
    ]
    assert scores["accuracy"].value > 0.8
    assert set(scores["accuracy"].details["per_class"]) == set(CLASSES)
    for name in names[1:]:
        assert scores[name].touched is Touched.PRIVATE_TEST
        assert scores[name].note == NOT_RELEASED
    assert scores["held_out_synthetic_accuracy"].touched is Touched.SYNTHETIC
    assert scores["frechet_distance"].measured_by.startswith("public-cnn@")
    assert scores["accuracy"].measured_by == scores.selection["classifier"]


def test_scores_are_json_under_the_mark(evaluated: tuple[Scores, Recorder]) -> None:
    data = json.loads(json.dumps(evaluated[0].to_json(), allow_nan=False))
    assert data["note"] == NOT_RELEASED
    assert [score["name"] for score in data["scores"]][1] == "accuracy"
    assert data["selection"]["chosen_on"] == "held-out synthetic images"
    assert data["selection"]["recipe"]["steps"] == 30


def test_unknown_score_names_the_known_ones(evaluated: tuple[Scores, Recorder]) -> None:
    with pytest.raises(UnknownName, match="accuracy"):
        evaluated[0]["acuracy"]


def test_progress_shows_the_three_phases(evaluated: tuple[Scores, Recorder]) -> None:
    assert evaluated[1].phases == [
        ("evaluate: classifier", 30, 30),
        ("evaluate: features", 5, 5),
        ("evaluate: scores", 4, 4),
    ]


def test_equal_seeds_give_equal_scores(evaluated: tuple[Scores, Recorder]) -> None:
    torch.manual_seed(99)
    again = Protocol(unopened(), public(), recipe=TINY).evaluate(synthetic())
    assert again.to_json() == evaluated[0].to_json()


def test_the_classifier_never_depends_on_the_test_images() -> None:
    """On each split one of the trained classifiers, another for each, is right about every image."""
    recipe, noise = replace(TINY, steps=10), torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    trained = train_candidates(synthetic(), recipe, seed=0, device=torch.device("cpu"), progress=SilentProgress())
    answers = {tuple(classified(one, noise).tolist()): one for one in trained}
    answers = {labels: one for labels, one in answers.items() if len(set(labels)) == len(CLASSES)}
    assert len(answers) > 1, "else whoever looks cannot tell them apart"
    found = [
        Protocol(TestSplit(noise, torch.tensor(labels), CLASSES), metrics=(Noted(),), recipe=recipe).evaluate(
            synthetic()
        )
        for labels in answers
    ]
    assert all(scores.selection == found[0].selection for scores in found)


def classified(candidate: Candidate, images: Tensor) -> Tensor:
    with torch.no_grad():
        return candidate.network(images).argmax(1)


class Noted(Metric):
    """A third party's metric: the number of images it was shown."""

    name: ClassVar[str] = "noted"

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        return (Score("noted", len(evidence.reference_labels), evidence.extractor, evidence.touched),)


def test_takes_the_metrics_of_others_and_cosines_without_a_public_set() -> None:
    scores = Protocol(unopened(), metrics=[Noted()], recipe=TINY).evaluate(synthetic())
    assert scores["noted"].value == 60
    assert scores["noted"].measured_by == "pixel-cosines-8x8"
    assert scores.selection["public_data"] is None


# The test split opens once, for a fixed classifier.


def test_a_second_evaluation_is_refused_before_any_work() -> None:
    split, progress = unopened(), Recorder()
    Protocol(split, metrics=[Noted()], recipe=TINY).evaluate(synthetic())
    with pytest.raises(TestSetReused, match="opened once"):
        Protocol(split, metrics=[Noted()], recipe=TINY, progress=progress).evaluate(synthetic())
    assert progress.phases == []


def test_the_split_opens_once() -> None:
    split = unopened()
    images, labels = split.open(fixed())
    assert (len(images), len(labels)) == (60, 60)
    with pytest.raises(TestSetReused):
        split.open(fixed())


@pytest.mark.parametrize("candidate", [None, ImageClassifier(1, 2, 4), [fixed(), fixed()]])
def test_the_split_stays_shut_without_a_fixed_classifier(candidate: object) -> None:
    split = unopened()
    with pytest.raises(SelectionOnTest, match="fixed"):
        split.open(candidate)  # type: ignore[arg-type]
    split.require_unopened()


def test_a_classifier_that_changed_after_its_choice_is_refused() -> None:
    network = ImageClassifier(1, 2, 4)
    classifier, split = FixedClassifier(network, held_out_accuracy=0.5), unopened()
    with torch.no_grad():
        network.head.bias += 1
    with pytest.raises(SelectionOnTest, match="changed weights"):
        split.open(classifier)
    split.require_unopened()


def best_on_test(split: TestSplit) -> FixedClassifier:
    """The broken twin: picks, of three classifiers, the one with the best test accuracy."""

    def test_accuracy(candidate: FixedClassifier) -> float:
        images, labels = split.open(candidate)
        return float((candidate.predict(images) == labels.numpy()).mean())

    return max((fixed(), fixed(), fixed()), key=test_accuracy)


def test_the_twin_that_selects_on_the_test_split_is_refused() -> None:
    with pytest.raises(TestSetReused):
        best_on_test(unopened())


def test_the_twin_that_tunes_on_the_opened_test_split_is_refused() -> None:
    network = ImageClassifier(1, 2, 4)
    classifier = FixedClassifier(network, held_out_accuracy=0.5)
    images, labels = unopened().open(classifier)
    network.requires_grad_(True).train()
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    with pytest.raises(SelectionOnTest):
        classifier.predict(images)


def test_the_handle_is_neither_copied_nor_printed() -> None:
    split = unopened()
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="opens once"):
            copying(split)
    assert repr(split) == "TestSplit(unopened)"


# Refusals show no content and come before any work.


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.full((3, 8, 8), 0.7351), torch.zeros(3, dtype=torch.int64)),
        (torch.full((3, 1, 8, 8), 7351), torch.zeros(3, dtype=torch.int64)),
        (torch.full((3, 1, 8, 8), 0.7351), torch.zeros(2, dtype=torch.int64)),
        (torch.full((3, 1, 8, 8), 0.7351), torch.tensor([0, 1, 7351])),
        (torch.full((3, 1, 8, 8), 0.7351), torch.tensor([0, 1, -7351])),
    ],
)
def test_a_bad_test_split_is_refused_without_its_content(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(DataError) as refusal:
        TestSplit(images, labels, CLASSES)
    assert "7351" not in str(refusal.value)


def test_shapes_and_classes_must_agree() -> None:
    progress = Recorder()
    protocol = Protocol(unopened(), recipe=TINY, progress=progress)
    with pytest.raises(DataError, match="shape"):
        protocol.evaluate(SyntheticDataset(torch.rand(9, 1, 16, 16), torch.zeros(9, dtype=torch.int64), CLASSES))
    with pytest.raises(DataError, match="classes"):
        protocol.evaluate(SyntheticDataset(*bars(9, 1), ("column", "row")))
    wide = PublicDataset("wide", torch.zeros(4, 1, 16, 16, dtype=torch.uint8), torch.zeros(4).long(), ("a",))
    with pytest.raises(DataError, match="public images"):
        Protocol(unopened(), wide)
    assert progress.phases == []


# Choosing on synthetic images.


def test_split_keeps_every_class_on_both_sides_and_every_row_once() -> None:
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 2)
    train, choose = split_synthetic(labels, held_out=0.1, generator=torch.Generator().manual_seed(0))
    assert sorted(torch.cat((train, choose)).tolist()) == list(range(72))
    assert labels[choose].bincount().tolist() == [5, 2, 1]
    assert labels[train].bincount().tolist() == [45, 18, 1]


def test_split_needs_two_images_of_a_class() -> None:
    with pytest.raises(DataError, match="class 1"):
        split_synthetic(torch.tensor([0, 0, 1]), held_out=0.1, generator=torch.Generator())


def candidate(accuracy: float, *, training: int, step: int, seed: int = 0) -> Candidate:
    return Candidate(ImageClassifier(1, 2, 4), "cnn", training, seed, step, accuracy)


def test_the_best_candidate_on_held_out_images_wins_and_ties_are_settled() -> None:
    offered = [
        candidate(0.3, training=0, step=1),
        candidate(0.8, training=1, step=1),
        candidate(0.8, training=1, step=2),
        candidate(0.8, training=2, step=2),
    ]
    assert HeldOutSynthetic().choose(offered) is offered[2]


def test_candidates_are_all_architectures_at_five_moments() -> None:
    recipe = Recipe(steps=10, batch=8, width=4, candidates=2)
    found = train_candidates(synthetic(), recipe, seed=0, device=torch.device("cpu"), progress=SilentProgress())
    assert [(one.training, one.step) for one in found] == [(k, step) for k in (0, 1) for step in (6, 7, 8, 9, 10)]
    weights = {tuple(one.network.head.bias.tolist()) for one in found}  # type: ignore[union-attr]
    assert len(weights) == 10, "each moment keeps its own weights"


def test_recipe_follows_the_shape() -> None:
    assert Recipe.for_shape(Shape(1, 8, 8)).steps < Recipe.for_shape(Shape(1, 28, 28)).steps
    assert Recipe.for_shape(Shape(3, 32, 32)).augmentation is PHOTOGRAPH


@pytest.mark.parametrize("setting", [{"steps": 0}, {"held_out": 1.0}, {"candidates": 0}, {"learning_rate": 0.0}])
def test_recipe_refuses_bad_settings(setting: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(setting))):
        Recipe(**setting)  # type: ignore[arg-type]
