"""Fréchet distance between two sets of features, each taken as a Gaussian."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np

from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features


@final
class FrechetDistance(Metric):
    """Squared Fréchet distance of Gaussians fitted to real and synthetic features; 0 is best, no upper limit.

    It is not an Inception FID: the score names the extractor, and only values of one extractor can be compared.
    With few images it is biased upwards, so compare equal numbers of images only; `details` holds the numbers and says
    when a covariance is rank deficient, that is, when there are not more images than features.
    """

    name: ClassVar[str] = "frechet_distance"
    cites: ClassVar[tuple[str, ...]] = (
        "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017",
        "Dowson and Landau, The Frechet Distance between Multivariate Normal Distributions, JMVA 1982",
    )

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `frechet_distance`. Raises: `DataError` with fewer than two images on either side."""
        reference, synthetic = evidence.reference_features, evidence.synthetic_features
        value = frechet_distance(reference, synthetic)
        details = {
            "reference_images": len(reference),
            "synthetic_images": len(synthetic),
            "features": reference.shape[1],
            "rank_deficient": min(len(reference), len(synthetic)) <= reference.shape[1],
        }
        return (Score(self.name, value, evidence.extractor, evidence.touched, details),)


def frechet_distance(reference: Features, synthetic: Features) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2) of the fitted Gaussians, in float64.

    Args: features `[n, d]` and `[m, d]`, n and m at least 2. Symmetric, >= 0, and 0 for equal sets up to rounding.
    Source: Dowson and Landau 1982, eq. 4. The trace of the last root is the sum of the singular values of
    C1^1/2 C2^1/2, which needs no root of a nearly singular product and stays accurate for rank-deficient covariances.
    """
    check_features(reference_features=reference, synthetic_features=synthetic)
    if min(len(reference), len(synthetic)) < 2:
        raise DataError("a Fréchet distance needs two images on each side; found fewer. Give more images.")
    first, second = np.asarray(reference, np.float64), np.asarray(synthetic, np.float64)
    gap = first.mean(0) - second.mean(0)
    root_1, root_2 = _root_of_covariance(first), _root_of_covariance(second)
    overlap = np.linalg.svd(root_1 @ root_2, compute_uv=False).sum()
    spread = np.square(root_1).sum() + np.square(root_2).sum()  # tr(C) = |C^1/2|^2
    return float(max(0.0, gap @ gap + spread - 2 * overlap))


def _root_of_covariance(features: Features) -> Features:
    """The symmetric root of the unbiased covariance `[d, d]`; rounding below zero is taken as zero."""
    centred = features - features.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(features) - 1))
    root: Features = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
