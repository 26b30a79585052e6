"""Per-example gradients after the backward pass: their norms, and their weighted sum from the very same numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from dpgen.mechanisms.dp_sgd.reductions import row_norms, weighted_sum, wide
from dpgen.mechanisms.dp_sgd.uses import Use

_BLOCK: Final = {"cpu": 1 << 18}
"""Numbers of a block of replayed gradients: what fits a core's cache."""
_BLOCK_ELSEWHERE: Final = 1 << 24
"""On accelerators large blocks, for fewer launches: 64 MiB in float32."""

_SMALL: Final = 1 << 15
"""Gradients of fewer numbers, over all examples, are joined: one call for many costs less than one for each."""

_TOO_LONG: Final = 2.0**64
"""Its square is beyond float32."""


class Gathered(ABC):
    """The per-example gradients of some parameters."""

    @abstractmethod
    def norms(self) -> Tensor:
        """L2 norm of each example's part of the gradient, `[examples]`, in at least float32."""

    @abstractmethod
    def weighted_sum(self, factors: Tensor, finite: Tensor | None) -> dict[str, Tensor]:
        """`sum_n factors[n] g[n]` by parameter name; `finite` `[examples]` is None where all examples are finite."""


@final
@dataclass(frozen=True)
class Stored(Gathered):
    """All gradients of one parameter, `[examples, *parameter]`."""

    name: str
    gradients: Tensor

    def norms(self) -> Tensor:
        """See `Gathered`."""
        return row_norms(self.gradients)

    def weighted_sum(self, factors: Tensor, finite: Tensor | None) -> dict[str, Tensor]:
        """See `Gathered`."""
        return {self.name: weighted_sum(self.gradients, factors, finite)}


@final
@dataclass(frozen=True)
class Joined(Gathered):
    """The gradients of many small parameters, side by side in `[examples, total]`."""

    shapes: Mapping[str, torch.Size]
    gradients: Tensor

    def norms(self) -> Tensor:
        """See `Gathered`."""
        return row_norms(self.gradients)

    def weighted_sum(self, factors: Tensor, finite: Tensor | None) -> dict[str, Tensor]:
        """One product for all."""
        total = weighted_sum(self.gradients, factors, finite)
        parts = total.split_with_sizes([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


@final
@dataclass(frozen=True)
class OuterProduct(Gathered):
    """One use of a weight at one position: the gradient of an example is `dy x^T`, and its norm `|dy| |x|`.

    Source: Goodfellow 2015 (arXiv 1510.01799). No terms cancel, so float32 bounds the sum as well as for stored
    gradients.
    """

    name: str
    gradient: Tensor
    rows: Tensor

    def norms(self) -> Tensor:
        """`|dy x^T| = |dy| |x|`.

        Below 1e-22 the squares of float32 numbers vanish: `|dy|` came out 0, and a large `|x|` carried the example past
        the clip norm. Squared in float64 none vanishes. A vector too long for squares in float32 counts as not finite,
        as it does for stored gradients.
        """
        left, right = (row_norms(t.double()) for t in (self.gradient, self.rows))
        product = torch.where(torch.maximum(left, right) < _TOO_LONG, left * right, torch.inf)
        return product.to(wide(torch.promote_types(self.gradient.dtype, self.rows.dtype)))

    def weighted_sum(self, factors: Tensor, finite: Tensor | None) -> dict[str, Tensor]:
        """`(factors dy)^T x`."""
        left, right = self.gradient.to(factors.dtype), self.rows.to(factors.dtype)
        if finite is not None:
            left, right = (torch.where(finite[:, None], t, 0.0) for t in (left, right))
        return {self.name: (left * factors[:, None]).mT @ right}


@final
@dataclass(frozen=True)
class Replayed(Gathered):
    """One parameter's gradients computed anew whenever needed, some examples at a time, all its uses added up."""

    name: str
    shape: torch.Size
    examples: int
    uses: tuple[tuple[Use, Tensor], ...]
    """Each use with the gradient of its output."""
    stored: Tensor | None
    """What other uses of the weight gave its leaf."""

    def norms(self) -> Tensor:
        """Of the sum over the uses, block by block."""
        return torch.cat([row_norms(gradients) for _, gradients in self._blocks()])

    def weighted_sum(self, factors: Tensor, finite: Tensor | None) -> dict[str, Tensor]:
        """From the same blocks by the same kernel as the norms, so bit for bit from the same numbers."""
        parts = (
            weighted_sum(gradients, factors[block], None if finite is None else finite[block])
            for block, gradients in self._blocks()
        )
        total = next(parts)
        for part in parts:
            total += part
        return {self.name: total}

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        size = max(1, _BLOCK.get(self.uses[0][1].device.type, _BLOCK_ELSEWHERE) // self.shape.numel())
        for first in range(0, self.examples, size):
            block = slice(first, min(first + size, self.examples))
            yield block, self._gradients(block)

    def _gradients(self, block: slice) -> Tensor:
        count = block.stop - block.start
        total = None if self.stored is None else self.stored[block]
        for use, gradient in self.uses:
            views = len(gradient) // self.examples
            own = slice(block.start * views, block.stop * views)
            part = use.gradients(gradient[own], use.rows[own], count).reshape(count, *self.shape)
            total = part if total is None else total + part
        assert total is not None
        return total


def gather(
    leaves: Mapping[str, Tensor], found: Mapping[str, Tensor], uses: Sequence[tuple[Use, Tensor]]
) -> list[Gathered]:
    """What a backward pass left, each parameter's in the form that is cheapest to sum; nothing for what stayed unused.

    Args: `leaves` by parameter name; `found` what they got, `[examples, *parameter]`; `uses` that are to be replayed,
    each with the gradient of its output.
    """
    parts: list[Gathered] = []
    small: dict[torch.dtype, dict[str, Tensor]] = {}
    for name, leaf in leaves.items():
        own, stored = tuple(use for use in uses if use[0].leaf is leaf), found.get(name)
        if own:
            parts.append(_replayed(name, leaf.shape[1:], len(leaf), own, stored))
        elif stored is not None and stored.numel() > _SMALL:
            parts.append(Stored(name, stored))
        elif stored is not None:
            small.setdefault(wide(stored.dtype), {})[name] = stored
    return parts + [_joined(tensors, dtype) for dtype, tensors in small.items()]


def _replayed(
    name: str, shape: torch.Size, examples: int, uses: tuple[tuple[Use, Tensor], ...], stored: Tensor | None
) -> Gathered:
    (use, gradient), *more = uses
    if use.is_outer_product and not more and stored is None:
        return OuterProduct(name, gradient.reshape(examples, -1), use.rows.reshape(examples, -1))
    return Replayed(name, shape, examples, uses, stored)


def _joined(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Joined:
    rows = torch.cat([tensor.flatten(1).to(dtype) for tensor in tensors.values()], dim=1)
    return Joined({name: tensor.shape[1:] for name, tensor in tensors.items()}, rows)
