"""Downstream accuracy: how well a classifier that saw only synthetic images knows real ones."""

from __future__ import annotations

import math
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Labels, Metric, Score


@final
class Accuracy(Metric):
    """Share of the reference images whose predicted label is right, in [0, 1]; and the same with all classes alike.

    `balanced_accuracy` is the unweighted mean of the accuracies by class: the one to read where the real labels are
    uneven, which a generator under privacy does not know. Details of `accuracy`: by class (None for a class without
    images), the standard error over the choice of test images, and the confusion counts (rows true, columns predicted).
    """

    name: ClassVar[str] = "accuracy"

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """Two scores, `accuracy`, `balanced_accuracy`. Raises: `DataError` when there is no reference image."""
        images = len(evidence.reference_labels)
        if images == 0:
            raise DataError("accuracy needs at least one reference image; found none. Give a test split with images.")
        confusion = confusion_counts(
            evidence.reference_labels, evidence.predicted_labels, classes=len(evidence.class_names)
        )
        value = float(np.trace(confusion) / images)
        per_class = [int(row[k]) / int(row.sum()) if row.sum() else None for k, row in enumerate(confusion)]
        present = [share for share in per_class if share is not None]
        details = {
            "per_class": dict(zip(evidence.class_names, per_class, strict=True)),
            "standard_error": math.sqrt(value * (1 - value) / images),
            "images": images,
            "confusion": confusion.tolist(),
        }
        balanced = sum(present) / len(present)
        return (
            Score(self.name, value, evidence.classifier, evidence.touched, details),
            Score(f"balanced_{self.name}", balanced, evidence.classifier, evidence.touched, {"classes": len(present)}),
        )


def confusion_counts(labels: Labels, predicted: Labels, *, classes: int) -> NDArray[np.int64]:
    """Counts `[classes, classes]`: how many images of the row's class were taken for the column's class."""
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)
