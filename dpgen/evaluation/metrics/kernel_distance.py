"""Kernel distance: the squared maximum mean discrepancy of a cubic kernel, without bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from dpgen import validate
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, check_features

_CHUNK = 1024
"""Rows of the kernel matrix in memory at once."""
_SEED = 20_180_221
"""Public; decides the subsets, so equal evidence has equal scores."""


@final
@dataclass(frozen=True)
class KernelDistance(Metric):
    """Unbiased estimate of the squared distance of mean embeddings; about 0 for equal distributions, may be negative.

    With the features of the Inception network it is the KID. Unlike the Fréchet distance its expectation does not
    depend on the numbers of images. By default all images count at once. `subsets` of `subset_size` images of each
    side give the mean over subsets instead, as most published figures, and their deviation among the details.
    """

    name: ClassVar[str] = "kernel_distance"
    cites: ClassVar[tuple[str, ...]] = (
        "Bińkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs. ICLR 2018. arXiv 1801.01401",
    )
    subset_size: int | None = None
    """Images of each side in a subset; None: all at once."""
    subsets: int = 100

    def __post_init__(self) -> None:
        validate.count(1, subsets=self.subsets)
        if self.subset_size is not None:
            validate.count(2, subset_size=self.subset_size)

    @property
    def fewest_images(self) -> int:
        """Two, or as many as a subset holds."""
        return self.subset_size or 2

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `kernel_distance`. Raises: `DataError` with fewer than two images, or than a subset needs."""
        reference, synthetic = evidence.reference_features, evidence.synthetic_features
        details: dict[str, object] = {"reference_images": len(reference), "synthetic_images": len(synthetic)}
        if self.subset_size is None:
            value = kernel_distance(reference, synthetic)
        else:
            values = [kernel_distance(*pair) for pair in self._subsets(reference, synthetic, self.subset_size)]
            value, deviation = float(np.mean(values)), float(np.std(values))
            details |= {"subset_size": self.subset_size, "subsets": self.subsets, "deviation": deviation}
        return (Score(self.name, value, evidence.extractor, evidence.touched, details),)

    def _subsets(self, reference: Features, synthetic: Features, size: int) -> Iterator[tuple[Features, Features]]:
        if min(len(reference), len(synthetic)) < size:
            raise DataError(
                f"kernel distance in subsets of {size} needs as many images on each side; found fewer. "
                "Give more images, or a smaller subset_size."
            )
        draws = np.random.default_rng(_SEED)
        for _ in range(self.subsets):
            rows = (draws.choice(len(features), size, replace=False) for features in (reference, synthetic))
            yield reference[next(rows)], synthetic[next(rows)]


def kernel_distance(reference: Features, synthetic: Features) -> float:
    """Unbiased squared MMD of k(x, y) = (x.y / d + 1)^3 between `[n, d]` and `[m, d]`, n and m at least 2.

    Source: Gretton et al. 2012 (JMLR 13), eq. 3; the kernel of Binkowski et al. 2018 (arXiv 1801.01401), section 4.
    """
    check_features(reference_features=reference, synthetic_features=synthetic)
    if min(len(reference), len(synthetic)) < 2:
        raise DataError("a kernel distance needs two images on each side; found fewer. Give more images.")
    first, second = np.asarray(reference, np.float64), np.asarray(synthetic, np.float64)
    between = _kernel_sum(first, second) / (len(first) * len(second))
    return _mean_within(first) + _mean_within(second) - 2 * between


def _mean_within(features: Features) -> float:
    """Mean kernel over all pairs of different images."""
    count = len(features)
    itself = float(((np.square(features).sum(1) / features.shape[1] + 1) ** 3).sum())
    return (_kernel_sum(features, features) - itself) / (count * (count - 1))


def _kernel_sum(rows: Features, columns: Features) -> float:
    total = 0.0
    for start in range(0, len(rows), _CHUNK):
        total += float(((rows[start : start + _CHUNK] @ columns.T / rows.shape[1] + 1) ** 3).sum())
    return total
