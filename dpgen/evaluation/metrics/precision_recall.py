"""Improved precision and recall: fidelity and variety, told apart by k-nearest-neighbour manifolds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features
from dpgen.evaluation.metrics.distances import rounding_of, squared_distances, squared_radii, with_common_origin
from dpgen.evaluation.metrics.neighbours import require_more_images


@final
@dataclass(frozen=True)
class PrecisionRecall(Metric):
    """Share of synthetic images near the real ones (precision) and of real images near the synthetic ones (recall).

    Near means inside the ball of some image of the other set that reaches to that image's k-th neighbour in its own
    set. Both lie in [0, 1] and depend on the numbers of images, which are among the details.
    """

    name: ClassVar[str] = "precision_recall"
    cites: ClassVar[tuple[str, ...]] = (
        "Kynkäänniemi, Karras, Laine, Lehtinen, Aila: Improved Precision and Recall Metric for Assessing "
        "Generative Models. NeurIPS 2019. arXiv 1904.06991",
    )
    neighbours: int = 4
    """4 as in DPImageBench; the paper itself takes 3."""

    def __post_init__(self) -> None:
        validate.count(1, neighbours=self.neighbours)

    @property
    def fewest_images(self) -> int:
        """One more than neighbours."""
        return self.neighbours + 1

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
    check_features(reference_features=reference, synthetic_features=synthetic)
    require_more_images(reference, synthetic, neighbours=neighbours)
    first, second = with_common_origin(reference, synthetic)
    return _share_inside(second, first, neighbours), _share_inside(first, second, neighbours)


def _share_inside(points: Features, manifold: Features, neighbours: int) -> float:
    """Share of `points` that lie in at least one ball of `manifold`."""
    # Rounding of |a|^2 + |b|^2 - 2ab must not push a point off the edge of its ball (sets with equal images).
    reach = squared_radii(manifold, neighbours=neighbours) + rounding_of(points, manifold)
    inside = [(block <= reach).any(1) for block in squared_distances(points, manifold)]
    return float(np.concatenate(inside).mean())
