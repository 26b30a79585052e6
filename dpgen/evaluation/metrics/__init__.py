"""The metrics that come with dpgen; each is pure mathematics on arrays."""

from dpgen.evaluation.metrics.accuracy import Accuracy
from dpgen.evaluation.metrics.density_coverage import DensityCoverage
from dpgen.evaluation.metrics.feature_likelihood import FeatureLikelihood
from dpgen.evaluation.metrics.frechet import FrechetDistance
from dpgen.evaluation.metrics.frechet_by_class import FrechetByClass
from dpgen.evaluation.metrics.inception_score import InceptionScore
from dpgen.evaluation.metrics.kernel_distance import KernelDistance
from dpgen.evaluation.metrics.memorisation import Memorisation
from dpgen.evaluation.metrics.precision_recall import PrecisionRecall

__all__ = [
    "Accuracy",
    "DensityCoverage",
    "FeatureLikelihood",
    "FrechetByClass",
    "FrechetDistance",
    "InceptionScore",
    "KernelDistance",
    "Memorisation",
    "PrecisionRecall",
]
