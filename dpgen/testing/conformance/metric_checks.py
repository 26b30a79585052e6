"""The checks of metrics: pure mathematics on arrays, the same scores for the same evidence, honest about both."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, final

import numpy as np

from dpgen.errors import DpgenError
from dpgen.evaluation.base import Evidence, Metric, Score, Touched
from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.contents import settled
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.surroundings import Traces, surroundings

_IMAGES, _COLUMNS = 40, 5
_OF_SYNTHETIC = ("synthetic_features", "synthetic_labels", "synthetic_probabilities")


@final
@dataclass
class MetricTrial:
    """A metric, made-up evidence, and what it said about it."""

    subject: Metric

    @cached_property
    def measured(self) -> tuple[tuple[Score, ...], Metric, Traces]:
        """The scores of `evidence`, the metric that gave them, and what it left behind."""
        metric = copy.deepcopy(self.subject)
        with tempfile.TemporaryDirectory() as folder, surroundings(allowed=Path(folder)) as traces:
            scores = tuple(metric.measure(evidence()))
        return scores, metric, traces

    def scores(self, evidence: Evidence) -> dict[str, float]:
        """The values by name that a fresh metric gives."""
        return {score.name: score.value for score in copy.deepcopy(self.subject).measure(evidence)}


def evidence(seed: int = 0) -> Evidence:
    """Features of forty real and thirty synthetic images, overlapping but not alike; three of four guesses right."""
    random = np.random.default_rng(seed)
    labels = np.arange(_IMAGES, dtype=np.int64) % 3
    guesses = np.where(np.arange(_IMAGES) % 4 == 0, (labels + 1) % 3, labels).astype(np.int64)
    return Evidence(
        reference_features=random.normal(size=(_IMAGES, _COLUMNS)) + labels[:, None],
        synthetic_features=random.normal(size=(30, _COLUMNS)) + 0.5,
        reference_labels=labels,
        predicted_labels=guesses,
        class_names=("low", "middle", "high"),
        extractor="toy-extractor@00000000",
        classifier="toy-classifier@00000000",
        touched=Touched.PRIVATE_TEST,
        synthetic_labels=np.arange(30, dtype=np.int64) % 3,
        synthetic_probabilities=random.dirichlet(np.ones(3), size=30),
        training_features=random.normal(size=(_IMAGES, _COLUMNS)) + labels[:, None],
    )


def check_scores_say_where_they_come_from(trial: MetricTrial) -> None:
    """Each score is a finite number with a name of its own, what measured it and what it touched, as plain JSON."""
    scores, given = trial.measured[0], evidence()
    rule, mend = (
        "a score must say what it is",
        "Build `Score(name, value, evidence.extractor, evidence.touched, {...})`.",
    )
    require(bool(scores), rule, found="no score", mend=mend)
    names = [score.name for score in scores]
    require(all(names) and len(set(names)) == len(names), rule, found=f"the names {names}", mend=mend)
    for score in scores:
        problem = _problem(score, given)
        require(problem is None, f"{rule}: {score.name}", found=problem or "", mend=mend)


def check_order_of_images_does_not_matter(trial: MetricTrial) -> None:
    """The same images in another order have the same scores."""
    given, random = evidence(), np.random.default_rng(1)
    real, made = random.permutation(_IMAGES), random.permutation(30)
    other = replace(
        given,
        reference_features=given.reference_features[real],
        reference_labels=given.reference_labels[real],
        predicted_labels=given.predicted_labels[real],
        **{name: getattr(given, name)[made] for name in _OF_SYNTHETIC},
    )
    require(
        _close(trial.scores(given), trial.scores(other)),
        "the order of the images must not change a score",
        found="another score for shuffled images",
        mend="Use every image, and nothing of its place.",
    )


def check_same_evidence_same_scores(trial: MetricTrial) -> None:
    """What was measured before changes no score, and no evidence is kept: a test split is looked at once."""
    metric = copy.deepcopy(trial.subject)
    before = settled(metric)
    first = {score.name: score.value for score in metric.measure(evidence())}
    after = settled(metric)
    metric.measure(evidence(seed=2))
    again = {score.name: score.value for score in metric.measure(evidence())}
    mend = "Keep nothing in the metric; draw no random numbers, or from a generator with a fixed seed."
    require(first == again, "the same evidence must have the same scores", found="other scores", mend=mend)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    rule = "a metric must keep nothing of the evidence"
    require(not changed, rule, found=f"another {', '.join(changed[:3])}", mend=mend)


def check_leaves_the_evidence_as_it_was(trial: MetricTrial) -> None:
    """The next metric sees the same arrays."""
    given = evidence()
    copy.deepcopy(trial.subject).measure(given)
    same = settled(given) == settled(evidence())
    mend = "Copy an array before writing into it."
    require(same, "a metric must leave the evidence as it was", found="changed arrays", mend=mend)


def check_poor_evidence_is_a_typed_error(trial: MetricTrial) -> None:
    """Too few images, NaN or unequal columns give a `DpgenError` or a finite score, never a crash and never NaN."""
    for name, poor in _poor().items():
        rule = f"evidence with {name} must give a finite score or a DataError that quotes none of it"
        mend = "Begin with `check_features(...)`; raise `DataError` where the number would mean nothing."
        try:
            values = trial.scores(poor).values()
        except DpgenError as error:
            require("7919" not in str(error), rule, found="a planted feature in the message", mend=mend)
            continue
        except Exception as error:
            raise CheckFailed(rule, found=f"{type(error).__name__}", mend=mend) from error
        require(bool(np.isfinite(list(values)).all()), rule, found=f"the scores {list(values)}", mend=mend)


def check_metric_leaves_no_trace(trial: MetricTrial) -> None:
    """Nothing is printed, logged or written, and the global random generators stay as they are."""
    traces = trial.measured[2]
    left = [f"the line {line!r}" for line in traces.said] + [f"the file {name}" for name in traces.files]
    left += [f"another state of {name}" for name in traces.generators]
    mend = "Return what is worth saying in `Score.details`: scores of private data stay with the owner."
    require(not left, "a metric must leave nothing but its scores", found=", ".join(left[:3]), mend=mend)


def _problem(score: Score, given: Evidence) -> str | None:
    if isinstance(score.value, bool) or not isinstance(score.value, int | float) or not np.isfinite(score.value):
        return f"the value {score.value!r}"
    if score.measured_by not in (given.extractor, given.classifier):
        return f"measured_by {score.measured_by!r}"
    if score.touched not in (given.touched, given.touched_with_training):
        return f"touched {score.touched}"
    try:
        json.dumps(score.to_json(), allow_nan=False)
    except (TypeError, ValueError):
        return "details that are no plain JSON"
    return None


def _close(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    same = first.keys() == second.keys()
    return same and all(bool(np.isclose(first[name], second[name], rtol=1e-6, atol=1e-9)) for name in first)


def _poor() -> dict[str, Evidence]:
    given = evidence()
    holes = given.synthetic_features.copy()
    holes[0, 0], holes[0, 1] = np.nan, 7919.0
    none = np.empty(0, dtype=np.int64)
    return {
        "no real image": replace(
            given, reference_features=np.empty((0, _COLUMNS)), reference_labels=none, predicted_labels=none
        ),
        "one synthetic image": replace(given, **{name: getattr(given, name)[:1] for name in _OF_SYNTHETIC}),
        "NaN": replace(given, synthetic_features=holes),
        "unequal columns": replace(given, synthetic_features=given.synthetic_features[:, :3]),
    }


METRIC_CHECKS: Final[tuple[Check[MetricTrial], ...]] = (
    check_scores_say_where_they_come_from,
    check_order_of_images_does_not_matter,
    check_same_evidence_same_scores,
    check_leaves_the_evidence_as_it_was,
    check_poor_evidence_is_a_typed_error,
    check_metric_leaves_no_trace,
)
