"""The metrics that come with dpgen; each is pure mathematics on arrays."""

from dpgen.evaluation.metrics.accuracy import Accuracy
from dpgen.evaluation.metrics.frechet import FrechetDistance
from dpgen.evaluation.metrics.precision_recall import PrecisionRecall

__all__ = ["Accuracy", "FrechetDistance", "PrecisionRecall"]
