"""What a metric is given, and what a score must say about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpgen.errors import DataError

Features = NDArray[np.float64]
Labels = NDArray[np.int64]

NOT_RELEASED = "not part of the DP release"
"""The note on every score that read private records."""


class Touched(StrEnum):
    """The most sensitive data that a score has read."""

    PRIVATE_TEST = "private_test"
    PRIVATE_TRAIN = "private_train"
    SYNTHETIC = "synthetic"
    PUBLIC = "public"

    @property
    def is_private(self) -> bool:
        """Whether a number that read this data must stay with the owner."""
        return self in (Touched.PRIVATE_TEST, Touched.PRIVATE_TRAIN)


@dataclass(frozen=True, slots=True)
class Score:
    """One number and all that is needed to doubt it.

    `measured_by` names the network behind the number with a hash of its weights, such as `public-cnn@1a2b3c4d`.
    `details` is plain JSON data: sample sizes, per-class values, caveats.
    """

    name: str
    value: float
    measured_by: str
    touched: Touched
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """`NOT_RELEASED` when private records were read, else empty."""
        return NOT_RELEASED if self.touched.is_private else ""

    def to_json(self) -> dict[str, Any]:
        """The score as plain JSON data, its note included."""
        return {
            "name": self.name,
            "value": self.value,
            "measured_by": self.measured_by,
            "touched": str(self.touched),
            "note": self.note,
            "details": dict(self.details),
        }


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a metric may look at: arrays, so that no metric depends on a network or sees an image.

    `reference_*` belong to the real images, one row each; `predicted_labels` are the guesses for them of the
    classifier that was trained on synthetic images. `extractor` and `classifier` name where the arrays come from.
    """

    reference_features: Features
    synthetic_features: Features
    reference_labels: Labels
    predicted_labels: Labels
    class_names: tuple[str, ...]
    extractor: str
    classifier: str
    touched: Touched
    synthetic_labels: Labels | None = None
    """Class of each synthetic image; for tables by class."""
    synthetic_probabilities: Features | None = None
    """Class probabilities `[m, classes]` that the extractor's own head gives the synthetic images, where it has one."""
    training_features: Features | None = None
    """Features of the private training images; for what tells copies from new images. Internal use only."""

    def __post_init__(self) -> None:
        if len(self.reference_labels) != len(self.predicted_labels):
            raise DataError("expected one prediction per reference label; found another number. Predict all of them.")

    @property
    def touched_with_training(self) -> Touched:
        """What a score touched that read the training features too."""
        return Touched.PRIVATE_TRAIN if self.touched.is_private else self.touched

    def require(self, name: str) -> NDArray[Any]:
        """The optional array of this name. Raises: `DataError` when it is missing, or has no row for each image."""
        values: NDArray[Any] | None = getattr(self, name)
        if values is None:
            raise DataError(missing_evidence(name))
        if name.startswith("synthetic_") and len(values) != len(self.synthetic_features):
            raise DataError(f"{name} must have one row per synthetic image; found another number. Give one for each.")
        return values


def missing_evidence(name: str) -> str:
    """What to do where a metric needs an optional array of `Evidence` that is not there."""
    return f"this metric needs {name.replace('_', ' ')}; found none. {_MENDS[name]}"


_MENDS = {
    "synthetic_labels": "Give the synthetic images with their labels.",
    "synthetic_probabilities": "Take an extractor that gives class probabilities, such as one trained on a public set.",
    "training_features": "Give the private training images: `--training`, or `Protocol(..., training=images)`.",
}


class Metric(ABC):
    """One way to score synthetic images: pure mathematics on the evidence, the same scores for the same evidence."""

    name: ClassVar[str]
    """Selected by this name in the registry."""
    cites: ClassVar[tuple[str, ...]] = ()
    """References, one line each."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Fields of `Evidence` without which it cannot measure: it is refused before anything is read."""

    @property
    def fewest_images(self) -> int:
        """Real, and synthetic, images without which it cannot measure: refused before anything is read."""
        return 1

    @abstractmethod
    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """The scores, each naming what measured it and carrying `evidence.touched`.

        A score that read `training_features` carries `evidence.touched_with_training` instead.

        Raises: `DataError` when there is too little evidence for the number to mean anything.
        """


def check_features(**features: Features) -> None:
    """Each is a finite `[n, d]` array of one common d, else `DataError` that names it and shows no content."""
    for name, values in features.items():
        if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
            raise DataError(
                f"{name} must be a finite array [n >= 1, d >= 1]; found another shape, NaN or infinity. "
                "Check the images that the features come from."
            )
    if len({values.shape[1] for values in features.values()}) > 1:
        raise DataError(
            f"{' and '.join(features)} must have the same number of columns; found different ones. "
            "Take them from one extractor."
        )
