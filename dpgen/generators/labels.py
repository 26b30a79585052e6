"""The classes of a sample: those that were asked for, else as even as can be."""

from __future__ import annotations

import torch
from torch import Tensor

from dpgen.errors import InvalidValue


def requested_labels(count: int, labels: Tensor | None, *, classes: int) -> Tensor:
    """`labels` as they are, or `count` labels in ascending order, no class more than one oftener than another.

    Args: `count` >= 0; `labels` int64 `[count]` in 0..classes-1, or None.
    Returns: int64 `[count]` on the CPU. Raises: `InvalidValue` for labels of another shape, dtype or range.
    """
    if labels is None:
        return torch.arange(count) * classes // max(count, 1)
    fits = labels.shape == (count,) and labels.dtype == torch.int64
    if not fits or not bool(((labels >= 0) & (labels < classes)).all()):
        raise InvalidValue(
            f"labels must be {count} int64 values from 0 to {classes - 1}; found {labels.dtype} "
            f"{list(labels.shape)}. Leave them out for as many of each class."
        )
    return labels.cpu()
