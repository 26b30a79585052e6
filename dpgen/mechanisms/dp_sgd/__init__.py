"""DP-SGD: per-example gradients, clipped once per example, summed over Poisson samples, noised."""

from dpgen.mechanisms.dp_sgd.checks import check_module
from dpgen.mechanisms.dp_sgd.gradients import ClippedSum, RowLoss, clipped_gradient_sum

__all__ = ["ClippedSum", "RowLoss", "check_module", "clipped_gradient_sum"]
