"""Feature likelihood divergence: how likely are unseen real images under a density that the synthetic ones carry?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features
from dpgen.evaluation.metrics.isotropic_mixture import IsotropicMixture

_SEED = 20_230_209
"""Public; halves the training images and draws what exceeds the limit."""
_CONSTANT_FEATURE = 1e-6
"""A feature whose deviation is below this share of the largest one tells nothing and is left out."""


@final
@dataclass(frozen=True)
class FeatureLikelihood(Metric):
    """100 times the nats per feature by which test images are less likely under the synthetic than under real images.

    0: as good as fresh real images; below 0 is possible. Each synthetic image carries a Gaussian whose width is fitted
    to the training images: a copy of a training image gets a needle, which explains no test image, so copying is
    punished. Above 1000 the synthetic images are most likely copies.
    """

    name: ClassVar[str] = "feature_likelihood"
    needs: ClassVar[tuple[str, ...]] = ("training_features",)
    cites: ClassVar[tuple[str, ...]] = (
        "Jiralerspong, Bose, Gemp, Qin, Bachrach, Gidel: Feature Likelihood Divergence: Evaluating the Generalization "
        "of Generative Models Using Samples. NeurIPS 2023. arXiv 2302.04440",
    )
    limit: int = 10_000
    """Synthetic and training images used; a public draw of so many where there are more. The authors' code draws 10,000
    synthetic images and uses all training images."""

    def __post_init__(self) -> None:
        validate.count(2, limit=self.limit)

    @property
    def fewest_images(self) -> int:
        """Two: features have a deviation over them."""
        return 2

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `feature_likelihood`. Raises: `DataError` without training features or with too few images."""
        training = evidence.require("training_features")
        value = feature_likelihood(evidence.reference_features, evidence.synthetic_features, training, limit=self.limit)
        details = {
            "reference_images": len(evidence.reference_features),
            "synthetic_images": min(self.limit, len(evidence.synthetic_features)),
            "training_images": min(self.limit, len(training)),
        }
        return (Score(self.name, value, evidence.extractor, evidence.touched_with_training, details),)


def feature_likelihood(reference: Features, synthetic: Features, training: Features, *, limit: int = 10_000) -> float:
    """FLD of `synthetic` `[m, d]` for test images `[n, d]` and training images `[t, d]`; n and m >= 2, t >= 4.

    Source: Jiralerspong et al. 2023 (arXiv 2302.04440), eq. 3 and 4: -100/d log p(test) under the mixture on the
    synthetic images, less the same under a mixture on one half of the training images fitted to the other half (the
    constant of the authors' code). Features have deviation 1 on the test images. No image's place matters.
    """
    check_features(reference_features=reference, synthetic_features=synthetic, training_features=training)
    if min(len(reference), len(synthetic)) < 2 or len(training) < 4:
        raise DataError(
            "a feature likelihood needs 2 test, 2 synthetic and 4 training images; found fewer. Give more images."
        )
    test, made, seen = _standardised(reference, synthetic, training)
    made, seen = _shuffled(made)[:limit], _shuffled(seen)[:limit]
    half = min(len(made), len(seen) // 2)
    synthetic_mixture, real_mixture = IsotropicMixture(made), IsotropicMixture(seen[:half])
    loss = synthetic_mixture.fitted_to(seen).negative_log_likelihood(test)
    best = real_mixture.fitted_to(seen[half:]).negative_log_likelihood(test)
    return float(100 * (loss - best) / test.shape[1])


def _standardised(reference: Features, *others: Features) -> tuple[Features, ...]:
    """All sets in units of the test images' mean and deviation, without features that are constant there."""
    deviation = reference.std(0, ddof=1)
    kept = deviation > _CONSTANT_FEATURE * deviation.max()
    if not kept.any() or not math.isfinite(float(deviation.max())):
        raise DataError("a feature likelihood needs features that vary over the test images; found none that does.")
    mean, scale = reference[:, kept].mean(0), deviation[kept]
    return tuple((features[:, kept] - mean) / scale for features in (reference, *others))


def _shuffled(features: Features) -> Features:
    """The rows in an order that depends on their contents alone: sorted, then permuted by a public seed."""
    ordered = features[np.lexsort(features.T[::-1])]
    return ordered[np.random.default_rng(_SEED).permutation(len(ordered))]
