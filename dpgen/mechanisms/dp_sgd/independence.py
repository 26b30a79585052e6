"""A look at whether each example's loss is a function of that example alone: what shows in values, not in gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from dpgen.errors import PrivacyError, SensitivityError

_ROUNDING: Final = 1e-3
"""Of the largest loss: between two runs of one shape kernels may differ so much, TF32 included."""


def refuse_dependence(losses_of: Callable[[Tensor], Tensor], images: Tensor, others: Tensor) -> None:
    """Exchange all made-up images but one: its losses must stay, and come out the same when all is as before.

    Unlike a gradient a value also shows detached batch statistics, sorting and pairing by value, what the module
    remembers of earlier batches, and randomness that does not come from `random`.

    Args: `losses_of(images) -> [rows]` with the same `random` each time; `others` images of the same shape.
    Raises: `SensitivityError` where examples are mixed, `PrivacyError` for memory or randomness of the loss's own.
    """
    with torch.no_grad():
        before = losses_of(images)
        changed = []
        for n in range(len(images)):
            alone = others.clone()
            alone[n] = images[n]
            changed.append(losses_of(alone))
        after = losses_of(images)
    if _differ(before, after):
        raise PrivacyError(
            "a loss must depend on its rows alone; in a rehearsal the same made-up rows had another loss the second "
            "time. Draw what is random from `random` in `inputs`, and remember nothing between batches."
        )
    if _any_moved(before, changed):
        raise SensitivityError(
            "every example must be computed alone; in a rehearsal the loss of one made-up example changed with the "
            "others. Remove batch statistics, detached ones too, sorting and pairing from module, inputs and loss."
        )


def _any_moved(before: Tensor, changed: Sequence[Tensor]) -> bool:
    examples = len(changed)
    own = before.view(examples, -1)
    return any(_differ(own[n], found.view(examples, -1)[n], before) for n, found in enumerate(changed))


def _differ(first: Tensor, second: Tensor, scale: Tensor | None = None) -> bool:
    first, second, scale = (t.double().nan_to_num() for t in (first, second, first if scale is None else scale))
    return bool((first - second).abs().max() > _ROUNDING * scale.abs().max())
