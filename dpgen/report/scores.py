"""Scores for people: each with its error bar, what it read, and how to take it. For the internal page alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpgen.report.wording import number

MEMORISATION = "memorisation"
"""The score with a section of its own."""

_READINGS = {
    "held_out_synthetic_accuracy": "of a classifier, on synthetic images that it did not train on",
    "accuracy": "share of the test images that a classifier gets right which saw synthetic images alone; 1 is best",
    "balanced_accuracy": "mean of the shares by class, so that rare classes count alike; 1 is best",
    "accuracy_over_trainings": "mean over everything trained, and how far the trainings differ",
    "diagnostic_best_on_private_test": "chosen on the private test set: shows how much that flatters, and is no result",
    "frechet_distance": "distance of the laws of features, synthetic to real; 0 is best; depends on the features",
    "frechet_by_class": "Fréchet distance within each class, then their mean; 0 is best",
    "kernel_distance": "squared distance of the laws of features; 0 is best, and noise may take it below",
    "precision": "share of the synthetic images that look like real ones; 1 is best",
    "recall": "share of the real images that synthetic ones come near to; 1 is best",
    "density": "how densely real images surround synthetic ones; near 1 is best",
    "coverage": "share of the real images with a synthetic one nearby; 1 is best",
    "inception_score": "how sure and how varied the classes of the synthetic images are; higher is better",
}
_TOUCHED = {
    "private_test": "private test images",
    "private_train": "private training images",
    "synthetic": "synthetic images only",
    "public": "public images only",
}


@dataclass(frozen=True, kw_only=True)
class ScoreLine:
    """One score as it is shown; `spread` and `spread_of` are empty where nothing is known of its error."""

    name: str
    value: str
    spread: str
    spread_of: str
    reading: str
    measured_by: str
    touched: str
    is_private: bool
    by_class: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CopyCheck:
    """The memorisation check: the share of synthetic images nearer to a training image than new images are."""

    share: float
    expected: float
    standard_error: float

    @property
    def is_suspicious(self) -> bool:
        """Is the share more than three standard errors above what is expected without copies?"""
        return self.share > self.expected + 3 * self.standard_error


def score_lines(scores: Sequence[Mapping[str, Any]]) -> list[ScoreLine]:
    """The lines of `Scores.to_json()["scores"]`, but for the memorisation check."""
    return [_line(score) for score in scores if score["name"] != MEMORISATION]


def copy_check(scores: Sequence[Mapping[str, Any]]) -> CopyCheck | None:
    """The memorisation check, if it was made."""
    for score in scores:
        if score["name"] == MEMORISATION:
            details = score["details"]
            expected, error = details["expected_without_copies"], details["standard_error"]
            return CopyCheck(share=score["value"], expected=expected, standard_error=error)
    return None


def _line(score: Mapping[str, Any]) -> ScoreLine:
    details, touched = score.get("details", {}), str(score["touched"])
    spread, spread_of = _spread(details)
    by_class = details.get("per_class") or {}
    return ScoreLine(
        name=score["name"].replace("_", " ").replace("frechet", "Fréchet"),
        value=number(score["value"]),
        spread=spread,
        spread_of=spread_of,
        reading=_READINGS.get(score["name"], ""),
        measured_by=score["measured_by"],
        touched=_TOUCHED.get(touched, touched.replace("_", " ")),
        is_private=bool(score.get("note")),
        by_class={str(name): "no images" if value is None else number(value) for name, value in by_class.items()},
    )


def _spread(details: Mapping[str, Any]) -> tuple[str, str]:
    """The error bar that a score states, and what it is one of."""
    if "standard_error" in details:
        over = f" over {details['images']} images" if "images" in details else ""
        return f"{details['standard_error']:.2g}", f"standard error{over}"
    if "deviation" not in details:
        return "", ""
    counted = [(details[what], what) for what in ("trainings", "subsets", "splits") if what in details]
    over = "".join(f" over {_count(parts)} {what}" for parts, what in counted[:1])
    return f"{details['deviation']:.2g}", f"deviation{over}"


def _count(parts: object) -> object:
    return len(parts) if isinstance(parts, Sequence) else parts
