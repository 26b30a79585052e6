"""The clipped sum of per-example gradients, exact, in one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.errors import DataError, PrivacyError
from dpgen.mechanisms.dp_sgd.checks import check_bounds, check_module
from dpgen.mechanisms.dp_sgd.gathered import Gathered, gather
from dpgen.mechanisms.dp_sgd.patches import leaves_in_place
from dpgen.mechanisms.dp_sgd.reductions import full_precision, joint_norm, wide
from dpgen.mechanisms.dp_sgd.uses import Use, Uses

RowLoss: TypeAlias = Callable[..., Tensor]
"""`loss(module, *inputs) -> [rows]`: one loss per row, each from its own row alone."""


@dataclass(frozen=True)
class ClippedSum:
    """`sum` by parameter name (shaped like the parameter, at least float32) and `norms` `[examples]` before clipping.

    Both are private. A norm that is not finite belongs to an example that contributed zero.
    """

    sum: dict[str, Tensor]
    norms: Tensor


def clipped_gradient_sum(
    module: nn.Module,
    loss: RowLoss,
    inputs: tuple[Tensor, ...],
    *,
    views: int,
    clip_norm: float,
    mask: Tensor | None = None,
    views_per_pass: int | None = None,
    normalising_stability: float | None = None,
) -> ClippedSum:
    """Sum over examples of `g min(1, clip_norm / |g|)`, with g the gradient of the mean loss of an example's views.

    Each example contributes L2 norm at most `clip_norm` over all trainable parameters together, because the norm is
    taken of the very numbers that are scaled and added. An example with a non-finite gradient, and one whose `mask`
    is False, contributes exactly zero and takes nothing from the others. The module is left as it was found, `.grad`
    included.

    Args:
        module: as it is, in its train or eval mode.
        inputs: tensors whose first axis is the row, `examples * views` long, example-major (row `n * views + k` is
            view k of example n).
        loss: as in `RowLoss`.
        views: rows of one example.
        clip_norm: bound on the L2 norm of what one example adds.
        mask: bool `[examples]`.
        views_per_pass: at most so many views of each example go through the module at once; their gradients are added
            up over the passes, before the one norm. Equal to the single pass (None) up to rounding, in the memory of
            `examples * views_per_pass` rows and all per-example gradients.
        normalising_stability: None clips. A number > 0 normalises ("automatic clipping"): an example contributes
            `g clip_norm / (|g| + normalising_stability)`, whatever its norm; at most `clip_norm`, as when clipping, but
            another estimator with another bias.
    Returns: private values; add noise before anything else.
    Raises: as `check_module` and `check_bounds`, and where the module uses a weight outside its layer, moves the rows
    off the first axis, or updates a buffer or a weight. `DataError` for misshapen inputs.
    Source: Abadi et al. 2016 (arXiv 1607.00133), algorithm 1; averaging views before the clip: De et al. 2022
    (arXiv 2204.13650); normalising: Bu et al. 2023 (arXiv 2206.07136), AUTO-S.
    """
    validate.count(1, views=views, **({} if views_per_pass is None else {"views_per_pass": views_per_pass}))
    check_bounds(clip_norm, normalising_stability)
    check_module(module)
    examples = _count_examples(inputs, views)
    wanted = _wanted(mask, examples, inputs[0].device)
    shrink = partial(_factors, clip_norm=clip_norm, normalising_stability=normalising_stability)
    found = _sum_of(_per_example_gradients(module, loss, inputs, examples, views_per_pass), module, wanted, shrink)
    if examples == 1:
        return found
    # Kernels are seen to multiply a neighbour's row by zero (bfloat16 on CPUs with AMX), which makes its NaN theirs. So
    # whoever is not finite is computed alone: what one example contributes must not depend on another.
    for n in (wanted & ~found.norms.isfinite()).nonzero().flatten().tolist():
        own = tuple(t[n * views : (n + 1) * views] for t in inputs)
        alone = _sum_of(_per_example_gradients(module, loss, own, 1, views_per_pass), module, wanted[n : n + 1], shrink)
        found.norms[n] = alone.norms[0]
        for name, contribution in alone.sum.items():
            found.sum[name].add_(contribution)
    return found


def _sum_of(
    gathered: Sequence[Gathered], module: nn.Module, wanted: Tensor, shrink: Callable[[Tensor], Tensor]
) -> ClippedSum:
    """The sum of the `wanted` finite examples, each times what `shrink` makes of its norm."""
    with full_precision(wanted.device.type):
        norms = _norms(gathered, len(wanted), wanted.device)
        finite = norms.isfinite()
        factors = torch.where(finite & wanted, shrink(norms), 0.0)  # not a product: 0 * inf would be NaN
        spoilt = None if bool(finite.all()) else finite  # zeroing costs a pass over all gradients: only where needed
        sums = {name: total for part in gathered for name, total in part.weighted_sum(factors, spoilt).items()}
    return ClippedSum(_in_order(module, sums), norms)


def _wanted(mask: Tensor | None, examples: int, device: torch.device) -> Tensor:
    if mask is None:
        return torch.ones(examples, dtype=torch.bool, device=device)
    if mask.shape != (examples,) or mask.dtype != torch.bool:
        raise DataError(
            f"mask must be bool [{examples}], one value per example; found {mask.dtype} {list(mask.shape)}."
        )
    return mask.to(device)


def _in_order(module: nn.Module, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of every trainable parameter, in the module's order; zero where the loss uses none of it."""
    return {
        name: sums[name] if name in sums else torch.zeros_like(p, dtype=wide(p.dtype), requires_grad=False)
        for name, p in module.named_parameters()
        if p.requires_grad
    }


def _factors(norms: Tensor, clip_norm: float, normalising_stability: float | None) -> Tensor:
    if normalising_stability is not None:
        return clip_norm / (norms + normalising_stability)
    return (clip_norm / norms).clamp(max=1.0)  # min(1, C / norm); a norm of 0 gives 1


def _count_examples(inputs: tuple[Tensor, ...], views: int) -> int:
    rows = {len(t) if t.ndim else -1 for t in inputs}
    if len(rows) != 1 or min(rows) < 1 or min(rows) % views:
        raise DataError(
            f"inputs must share a first axis of examples * views rows, at least one example, with views={views}; "
            "found other lengths. Let `inputs` repeat each example `views` times, example-major."
        )
    return rows.pop() // views


def _norms(gathered: Sequence[Gathered], examples: int, device: torch.device) -> Tensor:
    """L2 norms over all parameters together, `[examples]`."""
    if not gathered:  # the loss uses no parameter
        return torch.zeros(examples, device=device)
    return joint_norm(torch.stack([part.norms() for part in gathered]), dim=0)


def _per_example_gradients(
    module: nn.Module, loss: RowLoss, inputs: tuple[Tensor, ...], examples: int, views_per_pass: int | None
) -> list[Gathered]:
    """The gradient of each example's mean loss over all its views."""
    views = len(inputs[0]) // examples
    if views_per_pass is None or views_per_pass >= views:
        return gather(*_backward(module, loss, inputs, examples, 1 / views, replay=True))
    total: dict[str, Tensor] = {}
    for first in range(0, views, views_per_pass):
        part = tuple(_some_views(t, views, slice(first, first + views_per_pass)) for t in inputs)
        leaves, found, _ = _backward(module, loss, part, examples, 1 / views, replay=False)
        for name, gradient in found.items():
            more = gradient.to(wide(gradient.dtype))
            total[name] = total[name] + more if name in total else more
    return gather(leaves, total, [])


def _some_views(rows: Tensor, views: int, wanted: slice) -> Tensor:
    return rows.reshape(-1, views, *rows.shape[1:])[:, wanted].flatten(0, 1)


_Left: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor], list[tuple[Use, Tensor]]]


def _backward(
    module: nn.Module, loss: RowLoss, inputs: tuple[Tensor, ...], examples: int, share: float, *, replay: bool
) -> _Left:
    """One forward and one backward pass, with a loss counting `share`: what `gather` takes."""
    rows, device = len(inputs[0]), inputs[0].device
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    before = _states(module)
    uses = Uses(torch.zeros((), device=device, requires_grad=True)) if replay else None
    with torch.enable_grad(), leaves_in_place(module, parameters, examples, rows, uses) as leaves:
        losses = loss(module, *inputs)
        if losses.shape != (rows,):
            raise DataError(f"the loss must be one value per row, [{rows}]; found {list(losses.shape)}. Do not reduce.")
        if _states(module) != before:
            raise PrivacyError(
                "buffers must not learn from private records, nor weights past the noise; the loss changed one. "
                "Make it constant."
            )
        noted = [] if uses is None else [*uses.noted]  # a checkpoint runs again, and notes again, going back
        wanted = [*parameters.values(), *leaves.values(), *(use.probe for use in noted)]
        with torch.autocast(losses.device.type, enabled=False):  # each part goes back in the precision it came in
            found = torch.autograd.grad(losses, wanted, torch.full_like(losses, share), allow_unused=True)
    count = len(parameters)
    escaped = [name for name, g in zip(parameters, found, strict=False) if g is not None]
    if escaped:
        raise PrivacyError(
            f"a weight may be used only by its own layer; found {', '.join(escaped)} used directly. Call the layer."
        )
    stored = {name: g for name, g in zip(leaves, found[count:], strict=False) if g is not None}
    replayed = [(use, g) for use, g in zip(noted, found[2 * count :], strict=True) if g is not None]
    return leaves, stored, replayed


def _states(module: nn.Module) -> list[tuple[int, int]]:
    """Which tensor each buffer and each weight is and how often it was written to; reads no value."""
    return [(id(tensor), tensor._version) for tensor in (*module.buffers(), *module.parameters())]
