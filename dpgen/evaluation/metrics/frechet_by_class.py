"""The Fréchet distance of each class by itself: a class that fails is not hidden by the others."""

from __future__ import annotations

from typing import ClassVar, final

from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Metric, Score
from dpgen.evaluation.metrics.frechet import frechet_distance


@final
class FrechetByClass(Metric):
    """Unweighted mean over classes of the Fréchet distance between real and synthetic images of the class.

    A class with fewer than two images on a side has no distance (None among the details) and does not count. Classes
    have few images, so most covariances are rank deficient and the values are biased upwards: read them across
    classes of one table, not across data sets.
    """

    name: ClassVar[str] = "frechet_by_class"
    needs: ClassVar[tuple[str, ...]] = ("synthetic_labels",)

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `frechet_by_class`. Raises: `DataError` when no class has two images on both sides."""
        labels = evidence.require("synthetic_labels")
        per_class: dict[str, float | None] = {}
        for at, name in enumerate(evidence.class_names):
            real = evidence.reference_features[evidence.reference_labels == at]
            made = evidence.synthetic_features[labels == at]
            per_class[name] = frechet_distance(real, made) if min(len(real), len(made)) >= 2 else None
        known = [value for value in per_class.values() if value is not None]
        if not known:
            raise DataError(
                "Fréchet by class needs a class with two images on each side; found none. Give more images."
            )
        details = {"per_class": per_class, "classes_measured": len(known)}
        return (Score(self.name, sum(known) / len(known), evidence.extractor, evidence.touched, details),)
