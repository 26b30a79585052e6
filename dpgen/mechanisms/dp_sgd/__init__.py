"""DP-SGD: per-example gradients, clipped once per example, summed over Poisson samples, noised."""

from dpgen.mechanisms.dp_sgd.checks import check_module
from dpgen.mechanisms.dp_sgd.compiled import CompiledLoss
from dpgen.mechanisms.dp_sgd.computed import computed_loss
from dpgen.mechanisms.dp_sgd.gradients import ClippedSum, RowLoss, clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.rehearsal import Inputs
from dpgen.mechanisms.dp_sgd.routes import Route, gradient_notes, gradient_routes
from dpgen.mechanisms.dp_sgd.training import DpSgd, TrainedModule, dp_sgd_event

__all__ = [
    "ClippedSum",
    "CompiledLoss",
    "DpSgd",
    "Inputs",
    "Route",
    "RowLoss",
    "TrainedModule",
    "check_module",
    "clipped_gradient_sum",
    "computed_loss",
    "dp_sgd_event",
    "gradient_notes",
    "gradient_routes",
]
