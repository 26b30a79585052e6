"""Improved precision and recall: fidelity and variety, told apart by k-nearest-neighbour manifolds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features

_CHUNK = 1024
"""Rows of the distance matrix in memory at once."""


@final
@dataclass(frozen=True)
class PrecisionRecall(Metric):
    """Share of synthetic images near the real ones (precision) and of real images near the synthetic ones (recall).

    Near means inside the ball of some image of the other set that reaches to that image's k-th neighbour in its own
    set. Both lie in [0, 1] and depend on the numbers of images, which are among the details.
    """

    name: ClassVar[str] = "precision_recall"
    cites: ClassVar[tuple[str, ...]] = (
        "Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019",
    )
    neighbours: int = 4
    """4 as in DPImageBench; the paper itself takes 3."""

    def __post_init__(self) -> None:
        validate.count(1, neighbours=self.neighbours)

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """Two scores, `precision` and `recall`. Raises: `DataError` with no more images than neighbours."""
        reference, synthetic = evidence.reference_features, evidence.synthetic_features
        details = {
            "neighbours": self.neighbours,
            "reference_images": len(reference),
            "synthetic_images": len(synthetic),
        }
        values = precision_recall(reference, synthetic, neighbours=self.neighbours)
        return tuple(
            Score(name, value, evidence.extractor, evidence.touched, details)
            for name, value in zip(("precision", "recall"), values, strict=True)
        )


def precision_recall(reference: Features, synthetic: Features, *, neighbours: int = 4) -> tuple[float, float]:
    """Precision and recall of `synthetic` `[m, d]` against `reference` `[n, d]`; swapping the sets swaps the two.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), eq. 1 and 2. An image is not its own neighbour.
    """
    validate.count(1, neighbours=neighbours)
    check_features(reference_features=reference, synthetic_features=synthetic)
    if min(len(reference), len(synthetic)) <= neighbours:
        raise DataError(
            f"precision and recall with {neighbours} neighbours need more than {neighbours} images on each side; "
            "found fewer. Give more images or take fewer neighbours."
        )
    # One common origin near both sets, so that squared norms stay small and their differences exact.
    origin = (np.asarray(reference, np.float64).mean(0) + np.asarray(synthetic, np.float64).mean(0)) / 2
    first, second = reference - origin, synthetic - origin
    return _share_inside(second, first, neighbours), _share_inside(first, second, neighbours)


def _share_inside(points: Features, manifold: Features, neighbours: int) -> float:
    """Share of `points` that lie in at least one ball of `manifold`."""
    # Rounding of |a|^2 + |b|^2 - 2ab must not push a point off the edge of its ball (sets with equal images).
    tolerance = 1e-12 * max(np.square(points).sum(1).max(), np.square(manifold).sum(1).max())
    radii = np.concatenate(
        [np.partition(block, neighbours, axis=1)[:, neighbours] for block in _squared_distances(manifold, manifold)]
    )  # place 0 is the image itself
    inside = [(block <= radii + tolerance).any(1) for block in _squared_distances(points, manifold)]
    return float(np.concatenate(inside).mean())


def _squared_distances(rows: Features, columns: Features) -> Iterator[Features]:
    """Blocks `[chunk, len(columns)]` of the matrix of squared Euclidean distances, none below 0."""
    norms = np.square(columns).sum(1)
    for start in range(0, len(rows), _CHUNK):
        block = rows[start : start + _CHUNK]
        squared = np.square(block).sum(1)[:, None] + norms - 2 * block @ columns.T
        yield np.maximum(squared, 0.0)
