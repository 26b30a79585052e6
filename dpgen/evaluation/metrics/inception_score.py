"""Inception Score: do a public classifier's guesses look sure for each image and varied over all of them?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from scipy.special import xlogy

from dpgen import validate
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score

_SEED = 20_160_610
"""Public; deals the images to the splits."""


@final
@dataclass(frozen=True)
class InceptionScore(Metric):
    """exp of the mutual information between a synthetic image and its predicted class; 1 is worst, at most the classes.

    It never looks at real images: a generator that repeats one sharp image per class gets the highest score. With the
    class probabilities of the Inception network it is the published score; the classes are those of the extractor.
    """

    name: ClassVar[str] = "inception_score"
    needs: ClassVar[tuple[str, ...]] = ("synthetic_probabilities",)
    cites: ClassVar[tuple[str, ...]] = (
        "Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen: Improved Techniques for Training GANs. NeurIPS 2016. "
        "arXiv 1606.03498",
    )
    splits: int = 1
    """1 as in DPImageBench; 10 parts and their mean in many papers, which is lower for few images."""

    def __post_init__(self) -> None:
        validate.count(1, splits=self.splits)

    @property
    def fewest_images(self) -> int:
        """One for each split."""
        return self.splits

    def measure(self, evidence: Evidence) -> tuple[Score, ...]:
        """One score, `inception_score`. Raises: `DataError` without probabilities, or for too few images."""
        probabilities = evidence.require("synthetic_probabilities")
        if len(probabilities) < self.splits:
            raise DataError(f"an Inception Score in {self.splits} splits needs as many images; found fewer.")
        order = np.random.default_rng(_SEED).permutation(len(probabilities))
        values = [inception_score(probabilities[rows]) for rows in np.array_split(order, self.splits)]
        details = {
            "synthetic_images": len(probabilities),
            "classes": probabilities.shape[1],
            "splits": self.splits,
            "deviation": float(np.std(values)),
        }
        return (Score(self.name, float(np.mean(values)), evidence.extractor, evidence.touched, details),)


def inception_score(probabilities: Features) -> float:
    """exp(mean over images of KL(p(class | image) || mean p)) of class probabilities `[n, classes]`, n >= 1.

    Source: Salimans et al. 2016 (arXiv 1606.03498), section 4. Raises: `DataError` for rows that are no distribution.
    """
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2 or 0 in rows.shape or not (np.isfinite(rows).all() and (rows >= 0).all()):
        raise DataError("class probabilities must be finite and >= 0, [n >= 1, classes]; found others.")
    if not np.allclose(rows.sum(1), 1, atol=1e-4):
        raise DataError("class probabilities must sum to 1 in each row; found another sum. Give softmax outputs.")
    mean = rows.mean(0)
    return float(np.exp((xlogy(rows, rows).sum(1)).mean() - xlogy(mean, mean).sum()))
