"""What DP-SGD refuses before anything is read: modules whose per-example gradients it could not bound."""

from __future__ import annotations

from typing import Final

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from dpgen import validate
from dpgen.errors import InvalidValue, PrivacyError, SensitivityError
from dpgen.mechanisms.dp_sgd.routes import route_of

_MIXING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_LAZY = (nn.modules.lazy.LazyModuleMixin,)


SMALLEST_BOUND: Final = 1e-10
"""Below about 1e-15 the bound of a contribution meets norms that float32 can no longer square; nobody trains there."""


def check_bounds(clip_norm: float, normalising_stability: float | None) -> None:
    """Refuse bounds so small that a norm rounded to zero could pass them. Raises: `InvalidValue`."""
    bounds = {"clip_norm": clip_norm}
    if normalising_stability is not None:
        bounds["normalising_stability"] = normalising_stability
    validate.positive(**bounds)
    for name, bound in bounds.items():
        if bound < SMALLEST_BOUND:
            raise InvalidValue(f"{name} must be >= {SMALLEST_BOUND}; found {bound!r}. Scale the loss up instead.")


def check_module(module: nn.Module) -> None:
    """Refuse a module that mixes examples, learns from buffers, or hides a trainable parameter.

    Every other module is computed exactly; `gradient_routes` says by which way each part.

    Frozen parameters (`requires_grad` False) are free. What only shows while computing (a weight used outside its
    layer, examples mixed by hand) is refused by `clipped_gradient_sum` and by the rehearsal of `DpSgd`.

    Raises: `SensitivityError` where one record could move the sum by more than the clip norm; `PrivacyError` where
    a part of the module would escape the mechanism. Both name the part and the mend.
    """
    trainable = 0
    for name, part in module.named_modules():
        label = f"{name or 'the module itself'} ({type(part).__name__})"
        _refuse_mixing(label, part)
        _refuse_disguise(label, part)
        _refuse_rows_elsewhere(label, part)
        trainable += route_of(part) is not None
    if not trainable:
        raise PrivacyError("DP-SGD needs a trainable parameter; found none. Set requires_grad on what shall be learnt.")


def _refuse_mixing(label: str, part: nn.Module) -> None:
    if isinstance(part, _MIXING) and (part.training or part.running_mean is None):
        raise SensitivityError(
            f"every example must be computed alone; found {label}, which mixes the examples of a batch. "
            "Use nn.GroupNorm, or freeze it in eval mode with public statistics."
        )
    if isinstance(part, _NormBase) and part.training and part.track_running_stats:
        raise PrivacyError(
            f"buffers must not learn from private records; found {label}, which keeps running statistics. "
            "Set track_running_stats=False, or use nn.GroupNorm."
        )
    if isinstance(part, nn.Embedding) and (part.scale_grad_by_freq or part.max_norm is not None):
        raise SensitivityError(
            f"every example must be computed alone; found {label} with scale_grad_by_freq or max_norm, which depend on "
            "the whole batch. Switch them off."
        )
    if part.training and _dropout_probability(part) > 0:
        raise PrivacyError(
            f"randomness inside a record's loss must come from `inputs(..., random=...)`; found {label}, which draws "
            "from PyTorch's global generator. Set its dropout to 0, or draw the mask in `inputs`."
        )


def _refuse_disguise(label: str, part: nn.Module) -> None:
    if parametrize.is_parametrized(part) or any(n in part._parameters for n in ("weight_g", "weight_orig")):
        raise PrivacyError(
            f"a trainable weight must be a plain parameter of its layer; found {label} with a parametrisation "
            "(weight norm, spectral norm). Remove it with torch.nn.utils.parametrize.remove_parametrizations."
        )
    if isinstance(part, _LAZY) and part.has_uninitialized_params():
        raise PrivacyError(f"weights must exist before training; found {label}. Run it once on public data first.")


def _dropout_probability(part: nn.Module) -> float:
    if isinstance(part, _DropoutNd):
        return part.p
    return part.dropout if isinstance(part, (nn.MultiheadAttention, nn.RNNBase)) else 0.0


def _refuse_rows_elsewhere(label: str, part: nn.Module) -> None:
    if isinstance(part, (nn.MultiheadAttention, nn.RNNBase)) and not part.batch_first and route_of(part) is not None:
        raise SensitivityError(
            f"the first axis must be the row; found {label} with batch_first=False, whose first axis is the sequence. "
            "Set batch_first=True."
        )
