"""Where one forward pass stands: on all rows at once, inside a map over the examples, or alone with one example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd import Function

from dpgen.errors import SensitivityError
from dpgen.mechanisms.dp_sgd.uses import Uses


@dataclass
class Passage:
    """One forward pass: its examples, its rows, and where in it we are."""

    examples: int
    rows: int
    uses: Uses | None = None
    """Where uses that are to be replayed are noted; None where nothing is replayed."""
    token: Tensor | None = None
    """Inside a map: a zero that carries the mapped axis. None outside."""
    alone: bool = False
    """Inside a loop: all rows in sight are one example's, and its leaves stand for all weights."""

    @property
    def views(self) -> int:
        """Rows of one example."""
        return self.rows // self.examples

    @contextmanager
    def mapping(self, token: Tensor) -> Iterator[None]:
        """Inside the map that `token` belongs to."""
        self.token = token
        try:
            yield
        finally:
            self.token = None

    @contextmanager
    def looping(self) -> Iterator[None]:
        """Inside the loop over the examples."""
        self.alone = True
        try:
            yield
        finally:
            self.alone = False

    def require_rows(self, part: object, tensor: Tensor, axis: int = 0) -> None:
        """Refuse `tensor` where its `axis` is not as long as there are rows."""
        if tensor.ndim <= axis or tensor.shape[axis] != self.rows:
            place = "first axis" if axis == 0 else f"axis {axis}"
            raise SensitivityError(
                f"the {place} must stay the row, {self.rows} long; {type(part).__name__} got {list(tensor.shape)}. "
                "Keep rows first (use unflatten, not a merged axis; expand what is shared to all rows, or make it a "
                "buffer of the module that uses it)."
            )


class _LeaveMap(Function):
    """Computes on what `vmap` hides: `call` sees the tensor with the mapped axis first, and so returns its result."""

    @staticmethod
    def forward(call: Callable[[Tensor], Tensor], token: Tensor, tensor: Tensor) -> Tensor:
        raise AssertionError("only ever called inside a map")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is saved: `call` records its own graph below the map."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], call: Callable[[Tensor], Tensor], token: Tensor, tensor: Tensor
    ) -> tuple[Tensor, int]:
        axis = in_dims[2]
        whole = tensor.expand(info.batch_size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
        return call(whole), 0


def leave_map(call: Callable[[Tensor], Tensor], token: Tensor, tensor: Tensor) -> Tensor:
    """`call([examples, ...]) -> [examples, ...]` on the unmapped whole of `tensor`, seen mapped again afterwards."""
    result: Tensor = _LeaveMap.apply(call, token, tensor)  # type: ignore[no-untyped-call]
    return result
