"""The protocol, and the three ways in which the field has got it wrong: each twin fails the check that dpgen passes.

DPImageBench computes a noisy choice on a validation split and reports the clean one; others look at the test split
after every epoch, or report the best of all classifiers on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from dpgen.data.datasets import SyntheticDataset
from dpgen.errors import TestSetReused
from dpgen.evaluation import protocol as module
from dpgen.evaluation.candidates import Candidate
from dpgen.evaluation.metrics import Accuracy
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.protocol import Protocol
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.scores import Scores
from dpgen.evaluation.selection import FixedClassifier, Selection, best_held_out, fixed
from dpgen.networks.augment import GENTLE

CLASSES = ("dark", "bright")
TINY = Recipe(steps=10, feature_steps=5, batch=16, width=4, augmentation=GENTLE)


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    return 0.4 * torch.rand(count, 1, 8, 8, generator=random) + 0.5 * labels[:, None, None, None], labels


class NoisyChoice(Selection):
    """What a noisy validation does where the noise is large: it names another candidate than the cleanly best one."""

    chosen_on = "noise"
    released: Candidate
    offered: tuple[Candidate, ...]

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        self.offered = tuple(candidates)
        self.released = next(one for one in candidates if one is not best_held_out(candidates))
        return self.released

    def to_json(self) -> dict[str, object]:
        return {"chosen_on": self.chosen_on, "charge": "validation"}


def evaluated(rule: NoisyChoice, split: TestSplit | None = None) -> Scores:
    split = split or TestSplit(*images(40, 2), CLASSES)
    return Protocol(split, metrics=[Accuracy()], recipe=TINY, selection=rule).evaluate(
        SyntheticDataset(*images(60, 1), CLASSES)
    )


def check_the_released_choice_is_reported() -> None:
    rule = NoisyChoice()
    scores = evaluated(rule)
    name = fixed(rule.released).name
    assert scores["accuracy"].measured_by == name
    assert scores["balanced_accuracy"].measured_by == name
    assert scores.selection["classifier"] == name
    assert scores.selection["held_out_accuracy"] == rule.released.held_out_accuracy


def check_one_classifier_looks_at_the_test_split(seen: list[int]) -> None:
    evaluated(NoisyChoice())
    assert seen == [1], "opened once, for the one classifier that was chosen"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many classifiers each opening of the test split was for."""
    openings: list[int] = []
    honest = TestSplit.open

    def counted(self: TestSplit, *classifiers: FixedClassifier) -> tuple[torch.Tensor, torch.Tensor]:
        openings.append(len(classifiers))
        return honest(self, *classifiers)

    monkeypatch.setattr(TestSplit, "open", counted)
    return openings


def test_the_noisy_choice_is_the_one_reported_and_alone_looks_at_the_test_split(seen: list[int]) -> None:
    check_the_released_choice_is_reported()
    seen.clear()
    check_one_classifier_looks_at_the_test_split(seen)


def patched(monkeypatch: pytest.MonkeyPatch, choose: Callable[[NoisyChoice], Candidate]) -> None:
    """A protocol that runs the noisy choice, and takes another candidate."""
    honest = NoisyChoice.choose

    def chosen(self: NoisyChoice, candidates: Sequence[Candidate]) -> Candidate:
        honest(self, candidates)
        return choose(self)

    monkeypatch.setattr(NoisyChoice, "choose", chosen)


def test_the_twin_that_reports_the_clean_choice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    patched(monkeypatch, lambda rule: best_held_out(rule.offered))
    with pytest.raises(AssertionError):
        check_the_released_choice_is_reported()


def test_the_twin_that_measures_the_clean_choice_under_the_name_of_the_noisy_one_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is a hash of the weights, so it cannot be worn by another classifier."""
    clean: list[Candidate] = []
    honest = NoisyChoice.choose

    def remembered(self: NoisyChoice, candidates: Sequence[Candidate]) -> Candidate:
        clean.append(best_held_out(candidates))
        return honest(self, candidates)

    monkeypatch.setattr(NoisyChoice, "choose", remembered)
    monkeypatch.setattr(module, "fixed", lambda candidate: fixed(clean[-1]))
    with pytest.raises(AssertionError):
        check_the_released_choice_is_reported()


def test_the_twin_that_looks_after_every_epoch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    split = TestSplit(*images(40, 2), CLASSES)

    def best_epoch(rule: NoisyChoice) -> Candidate:
        def on_test(candidate: Candidate) -> float:
            classifier = fixed(candidate)
            pixels, labels = split.open(classifier)
            return float((classifier.predict(pixels) == labels.numpy()).mean())

        return max(rule.offered, key=on_test)

    patched(monkeypatch, best_epoch)
    with pytest.raises(TestSetReused):
        evaluated(NoisyChoice(), split)


def test_the_twin_that_reports_the_best_of_all_is_found(monkeypatch: pytest.MonkeyPatch, seen: list[int]) -> None:
    honest = Protocol.__init__

    def always(self: Protocol, *arguments: object, **options: object) -> None:
        honest(self, *arguments, **(options | {"diagnostics": True}))  # type: ignore[arg-type]

    monkeypatch.setattr(Protocol, "__init__", always)
    with pytest.raises(AssertionError, match="opened once, for the one"):
        check_one_classifier_looks_at_the_test_split(seen)
