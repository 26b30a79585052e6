"""Memorisation: are synthetic images closer to the training images than new real images are?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features
from dpgen.evaluation.metrics.distances import nearest, rounding_of, with_common_origin


@final
@dataclass(frozen=True)
class Memorisation(Metric):
    """Share of synthetic images nearer to a training image than all but `quantile` of the test images are.

    About `quantile` is expected where synthetic images relate to the training images as unseen ones do; clearly more
    points at copies. Few is no proof of privacy: the guarantee is, and a blurred copy may lie far away in pixels.
    It reads the private training images, so it belongs in the internal report alone.
    """

    name: ClassVar[str] = "memorisation"
    needs: ClassVar[tuple[str, ...]] = ("training_features",)
    cites: ClassVar[tuple[str, ...]] = (
        "Meehan, Chaudhuri, Dasgupta: A Non-Parametric Test to Detect Data-Copying in Generative Models. AISTATS 2020. "
        "arXiv 2004.05675",
    )
    quantile: float = 0.05

    def __post_init__(self) -> None:
        validate.open_unit(quantile=self.quantile)

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `memorisation`, in [0, 1]. Raises: `DataError` without training features."""
        training = evidence.require("training_features")
        value = memorised_share(
            evidence.reference_features, evidence.synthetic_features, training, quantile=self.quantile
        )
        images = len(evidence.synthetic_features)
        details = {
            "expected_without_copies": self.quantile,
            "standard_error": float(np.sqrt(self.quantile * (1 - self.quantile) / images)),
            "synthetic_images": images,
            "reference_images": len(evidence.reference_features),
            "training_images": len(training),
        }
        return (Score(self.name, value, evidence.extractor, evidence.touched_with_training, details),)


def memorised_share(reference: Features, synthetic: Features, training: Features, *, quantile: float = 0.05) -> float:
    """Share of `synthetic` whose nearest of `training` is closer than the `quantile` of test-to-training distances.

    The distances compared are those of Meehan et al. 2020 (arXiv 2004.05675), section 3; a quantile instead of their
    rank test, so that the number reads as a share of images.
    """
    check_features(reference_features=reference, synthetic_features=synthetic, training_features=training)
    validate.open_unit(quantile=quantile)
    real, made, seen = with_common_origin(reference, synthetic, training)
    threshold = np.quantile(nearest(real, seen), quantile)
    # Test images that are copies themselves put the threshold at 0: an exact copy must count all the same.
    threshold = max(float(threshold), np.sqrt(4 * rounding_of(real, made, seen)))
    return float((nearest(made, seen) < threshold).mean())
