"""One rehearsal on made-up examples before any record is read: what cannot be seen in the module shows in its run."""

from __future__ import annotations

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dpgen.errors import DataError, OutOfMemory, PrivacyError, SensitivityError
from dpgen.mechanisms.dp_sgd.gradients import RowLoss, clipped_gradient_sum
from dpgen.mechanisms.dp_sgd.independence import refuse_dependence
from dpgen.mechanisms.out_of_memory import is_out_of_memory
from dpgen.noise import PublicRows, RowRandom

_EXAMPLES = (2, 3)
"""Two sizes: a tensor that all rows share (positions, say) can be as long as one of the batches, not as both. Where the
lengths agree it is taken for rows, and every record moves every example's gradient."""


class Inputs(Protocol):
    """Turns a batch of n examples into n * views rows, example-major, with all its randomness from `random`.

    Each example's rows may depend on that example alone. Images `[n, channels, height, width]` in [0, 1] and labels
    `[n]` int64 lie on the training device; each tensor returned has the rows on its first axis.
    """

    def __call__(self, images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
        """The rows that `loss` is computed on."""


def require_rows(rows: tuple[Tensor, ...], examples: int, views: int) -> None:
    """Refuse another number of rows than asked for: rows of two examples would pass for views of one.

    Raises: `DataError`.
    """
    if any(tensor.ndim == 0 or len(tensor) != examples * views for tensor in rows) or not rows:
        raise DataError(
            f"`inputs` must return tensors of examples * views rows, with views={views}; found another number. "
            "Repeat each example `views` times, example-major."
        )


def rehearse(
    module: nn.Module, inputs: Inputs, loss: RowLoss, *, views: int, image: torch.Size, generator: torch.Generator
) -> None:
    """Compute gradients of made-up examples and look, in gradients and in values, whether one's loss reads another's.

    Works on a copy with jittered weights: layers that start at zero would hide what flows through them. It finds
    mistakes, not malice: what labels or rare values bring about can still mix.

    Args: `image` shape of one image; `generator` public randomness on the CPU.
    Raises: `SensitivityError` for mixed examples, `PrivacyError` where module or loss remember or draw by themselves or
    write to the module's state, and whatever `clipped_gradient_sum` raises.
    """
    actor = copy.deepcopy(module)
    with torch.no_grad():
        for p in actor.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=generator).to(p))
    before = {name: tensor.clone() for name, tensor in actor.state_dict().items() if isinstance(tensor, Tensor)}
    for examples in _EXAMPLES:
        shown: int = views
        while not _rehearsed(actor, inputs, loss, examples, views, shown, image, generator):
            shown = _halved(shown, actor)
    _refuse_learning(actor, before)


def _refuse_learning(actor: nn.Module, before: dict[str, Tensor]) -> None:
    """By value: a write through `.data` leaves no trace in the tensor's version."""
    after = actor.state_dict()
    for name, tensor in before.items():
        if not torch.equal(tensor.nan_to_num(), after[name].nan_to_num()):
            raise PrivacyError(
                f"buffers must not learn from private records, nor weights past the noise; the loss changed {name!r} "
                "in a rehearsal. Make it constant."
            )


def _halved(shown: int, module: nn.Module) -> int:
    """Half as many views of each made-up example. Raises: `OutOfMemory` after one."""
    if shown == 1:
        raise OutOfMemory(
            f"memory must hold one view each of {max(_EXAMPLES)} made-up examples; found it exhausted before a record "
            f"was read, on device {str(next(module.parameters()).device)!r}. Take a smaller network or smaller images."
        )
    return shown // 2


def _rehearsed(*arguments: Any) -> bool:
    """Did the rehearsal of one batch fit into memory?"""
    try:
        _rehearse_batch(*arguments)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _rehearse_batch(
    actor: nn.Module,
    inputs: Inputs,
    loss: RowLoss,
    examples: int,
    views: int,
    shown: int,
    image: torch.Size,
    generator: torch.Generator,
) -> None:
    """Rows of all `views` are made; the network sees the first `shown` of each example."""
    device = next(actor.parameters()).device
    images = torch.rand(examples, *image, generator=generator).to(device).requires_grad_()
    labels = torch.zeros(examples, dtype=torch.int64, device=device)
    rows = inputs(images, labels, views=views, random=PublicRows(examples * views, generator, device))
    require_rows(rows, examples, views)
    rows = _first_views(rows, views, shown)
    clipped_gradient_sum(actor, loss, tuple(row.detach() for row in rows), views=shown, clip_norm=1.0)
    rows = tuple(r.detach().requires_grad_() if r.is_floating_point() and not r.requires_grad else r for r in rows)
    _refuse_mixing(loss(actor, *rows)[:shown], images, rows, shown)

    others, draws = torch.rand(examples, *image, generator=generator).to(device), generator.get_state()

    def losses_of(images: Tensor) -> Tensor:
        generator.set_state(draws)  # the same randomness each time
        rows = inputs(images, labels, views=views, random=PublicRows(examples * views, generator, device))
        return loss(actor, *_first_views(rows, views, shown))

    refuse_dependence(losses_of, images.detach(), others)


def _first_views(rows: tuple[Tensor, ...], views: int, shown: int) -> tuple[Tensor, ...]:
    return tuple(row.reshape(-1, views, *row.shape[1:])[:, :shown].flatten(0, 1) for row in rows)


def _refuse_mixing(first_losses: Tensor, images: Tensor, rows: tuple[Tensor, ...], views: int) -> None:
    """The losses of the first example must not depend on the second one's image or rows."""
    sources = [(images, 1)] + [(r, views) for r in rows if r.requires_grad]
    if not first_losses.requires_grad:
        return
    found = torch.autograd.grad(first_losses.sum(), [s for s, _ in sources], allow_unused=True)
    for gradient, (_, own) in zip(found, sources, strict=True):
        if gradient is not None and gradient[own:].nan_to_num().count_nonzero():
            raise SensitivityError(
                "every example must be computed alone; in a rehearsal on made-up examples the loss of one example "
                "depended on another. Remove batch statistics, mixing or pairing from module, inputs and loss."
            )
