"""Fréchet distance between two sets of features, each taken as a Gaussian."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np
import torch

from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features

_SMALL = 256
"""Up to this side the singular values themselves are cheap."""
_ACCURACY = 1e-8
"""Error of the distance that the faster way may cause, relative to the traces of the covariances."""


@final
class FrechetDistance(Metric):
    """Squared Fréchet distance of Gaussians fitted to real and synthetic features; 0 is best, no upper limit.

    It is an Inception FID only where the score names the Inception network. Compare values of one extractor only.
    With few images it is biased upwards, so compare equal numbers of images only; `details` holds the numbers and says
    when a covariance is rank deficient, that is, when there are not more images than features.
    """

    name: ClassVar[str] = "frechet_distance"
    cites: ClassVar[tuple[str, ...]] = (
        "Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs Trained by a Two Time-Scale Update Rule "
        "Converge to a Local Nash Equilibrium. NeurIPS 2017. arXiv 1706.08500",
        "Dowson, Landau: The Fréchet Distance between Multivariate Normal Distributions. Journal of Multivariate "
        "Analysis 1982",
    )

    @property
    def fewest_images(self) -> int:
        """Two: a covariance needs them."""
        return 2

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
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of the fitted Gaussians (unbiased covariances), in float64.

    Args: features `[n, d]` and `[m, d]`, n and m at least 2. Symmetric, >= 0, and 0 for equal sets up to rounding.
    Source: Dowson and Landau 1982, eq. 4. With C = F^T F the trace of the root is the sum of the singular values of
    F1 F2^T: no root of a nearly singular product is taken, so covariances of deficient rank cost no accuracy.
    """
    check_features(reference_features=reference, synthetic_features=synthetic)
    if min(len(reference), len(synthetic)) < 2:
        raise DataError("a Fréchet distance needs two images on each side; found fewer. Give more images.")
    first, second = np.asarray(reference, np.float64), np.asarray(synthetic, np.float64)
    gap = first.mean(0) - second.mean(0)
    factor_1, factor_2 = _factor_of_covariance(first), _factor_of_covariance(second)
    spread = np.square(factor_1).sum() + np.square(factor_2).sum()  # tr(F^T F) = |F|^2
    return float(max(0.0, gap @ gap + spread - 2 * _sum_of_singular_values(factor_1 @ factor_2.T, float(spread))))


def _factor_of_covariance(features: Features) -> Features:
    """F `[min(n, d), d]` with F^T F the unbiased covariance: the centred features, or their triangular QR factor.

    QR acts on the features themselves: forming the covariance first would square their condition number.
    """
    centred: Features = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    triangle: Features = torch.linalg.qr(torch.from_numpy(centred), mode="r").R.numpy()
    return triangle


def _sum_of_singular_values(matrix: Features, spread: float) -> float:
    """By the eigenvalues of the symmetric square where their rounding cannot matter (4 x faster), else directly."""
    if min(matrix.shape) > _SMALL:
        square = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        squares = torch.linalg.eigvalsh(torch.from_numpy(square)).numpy().clip(min=0)
        # An eigenvalue is off by a few roundings of the largest; its root by at most e / root, or the root of e.
        error = 16 * np.finfo(np.float64).eps * squares[-1]
        if 2 * (error / np.sqrt(np.maximum(squares, error))).sum() <= _ACCURACY * spread:
            return float(np.sqrt(squares).sum())
    return float(torch.linalg.svdvals(torch.from_numpy(matrix)).sum())
