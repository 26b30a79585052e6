"""How much an accuracy depends on the training: mean and deviation, and the diagnostic that is not a result."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from torch import Tensor

from dpgen.evaluation.base import Score, Touched
from dpgen.evaluation.candidates import Candidate
from dpgen.evaluation.selection import FixedClassifier, best_held_out, fixed

DIAGNOSTIC = "chosen on the private test set: a diagnostic of how much that would flatter, not a result"

Training = tuple[Candidate, FixedClassifier]


def fixed_trainings(candidates: Sequence[Candidate]) -> tuple[Training, ...]:
    """Of each training (seed and architecture) the moment that is best on held-out synthetic images, fixed.

    Empty for a single training: there is no spread to measure, and fewer look at the test split.
    """
    by_training: dict[tuple[int, int], list[Candidate]] = {}
    for candidate in candidates:
        by_training.setdefault((candidate.seed, candidate.training), []).append(candidate)
    if len(by_training) < 2:
        return ()
    chosen = [best_held_out(moments) for moments in by_training.values()]
    return tuple((candidate, fixed(candidate)) for candidate in chosen)


def over_trainings(trainings: Sequence[Training], images: Tensor, labels: Tensor) -> list[Score]:
    """`accuracy_over_trainings`: the mean; deviation (n - 1) and values among the details. None for one training."""
    if not trainings:
        return []
    values = [_accuracy(classifier, images, labels) for _, classifier in trainings]
    details = {
        "deviation": statistics.stdev(values),
        "trainings": [
            {"classifier": one.classifier, "seed": one.seed, "accuracy": value}
            for (one, _), value in zip(trainings, values, strict=True)
        ],
    }
    name = f"{len(values)} trainings"
    return [Score("accuracy_over_trainings", statistics.mean(values), name, Touched.PRIVATE_TEST, details)]


def best_on_test(everything: Sequence[FixedClassifier], images: Tensor, labels: Tensor) -> list[Score]:
    """`diagnostic_best_on_private_test`: the largest accuracy of all; nothing where no diagnostic was asked for."""
    if not everything:
        return []
    value, best = max(((_accuracy(one, images, labels), one) for one in everything), key=lambda pair: pair[0])
    details = {"diagnostic": DIAGNOSTIC, "candidates": len(everything)}
    return [Score("diagnostic_best_on_private_test", value, best.name, Touched.PRIVATE_TEST, details)]


def _accuracy(classifier: FixedClassifier, images: Tensor, labels: Tensor) -> float:
    return float((classifier.predict(images) == labels.numpy()).mean())
