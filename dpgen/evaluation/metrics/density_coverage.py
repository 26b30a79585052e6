"""Density and coverage: fidelity and variety by the neighbourhoods of the real images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features
from dpgen.evaluation.metrics.distances import squared_distances, squared_radii, with_common_origin
from dpgen.evaluation.metrics.neighbours import require_more_images


@final
@dataclass(frozen=True)
class DensityCoverage(Metric):
    """In how many real neighbourhoods a synthetic image lies (density), and how many of them hold one (coverage).

    Density is divided by k: about 1 for equal distributions, without an upper limit. Coverage lies in [0, 1]. One
    outlier among the synthetic images moves neither much, unlike recall.
    """

    name: ClassVar[str] = "density_coverage"
    cites: ClassVar[tuple[str, ...]] = (
        "Naeem, Oh, Uh, Choi, Yoo: Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020. "
        "arXiv 2002.09797",
    )
    neighbours: int = 5
    """As in the paper."""

    def __post_init__(self) -> None:
        validate.count(1, neighbours=self.neighbours)

    @property
    def fewest_images(self) -> int:
        """One more than neighbours."""
        return self.neighbours + 1

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """Two scores, `density` and `coverage`. Raises: `DataError` with no more real images than neighbours."""
        reference, synthetic = evidence.reference_features, evidence.synthetic_features
        details = {
            "neighbours": self.neighbours,
            "reference_images": len(reference),
            "synthetic_images": len(synthetic),
        }
        values = density_coverage(reference, synthetic, neighbours=self.neighbours)
        return tuple(
            Score(name, value, evidence.extractor, evidence.touched, details)
            for name, value in zip(("density", "coverage"), values, strict=True)
        )


def density_coverage(reference: Features, synthetic: Features, *, neighbours: int = 5) -> tuple[float, float]:
    """Density and coverage of `synthetic` `[m, d]` against `reference` `[n, d]`.

    Source: Naeem et al. 2020 (arXiv 2002.09797), eq. 3 and 4; inside means strictly closer than the k-th neighbour, as
    in their code, so k + 1 equal real images have an empty neighbourhood. An image is not its own neighbour.
    """
    check_features(reference_features=reference, synthetic_features=synthetic)
    require_more_images(reference, neighbours=neighbours)
    real, made = with_common_origin(reference, synthetic)
    reach = squared_radii(real, neighbours=neighbours)
    holders, closest = 0, np.full(len(real), np.inf)
    for block in squared_distances(made, real):
        holders += int((block < reach).sum())
        closest = np.minimum(closest, block.min(0))
    return holders / (neighbours * len(made)), float((closest < reach).mean())
