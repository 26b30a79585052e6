"""Uses of a weight that are replayed: kept as the layer's input and output gradient, not as per-example gradients.

Where the per-example gradients of a weight are larger than the activations they come from, it costs less memory to keep
the activations and to compute the gradients twice, some examples at a time: once for the norm, once for the sum. (Known
as book-keeping: Bu et al. 2023, arXiv 2210.00038.) Both times the same kernel sees the same tensors of the same shapes,
so norm and sum come from the same numbers. That takes kernels without atomics: matrix products alone are replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import torch
from torch import Tensor

WeightGradients: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]
"""(output gradient, input rows, examples) -> `[examples, *weight]`."""

FEW_POSITIONS: Final = 49
"""With at most so many output positions an example, computing a weight gradient twice in blocks that fit the CPU's
cache costs no more than writing, norming and adding the gradients of all examples at once (7 x 7 pixels, 32 x 32
channels, 128 examples: 3.9 ms against 4.0 ms; at 4 x 4 pixels 1.7 ms against 2.5 ms)."""


@dataclass(frozen=True)
class Use:
    """One use of the weight that `leaf` stands for, at so many `positions` of each example."""

    leaf: Tensor
    rows: Tensor
    probe: Tensor
    positions: int
    gradients: WeightGradients

    @property
    def is_outer_product(self) -> bool:
        """Whether an example's gradient is `dy x^T` of two vectors: a matrix used at one position."""
        return self.positions == 1 and self.leaf.ndim == 3


@dataclass(frozen=True)
class Uses:
    """The uses noted in one forward pass; every probe comes from `zero`, a scalar that requires a gradient."""

    zero: Tensor
    noted: list[Use] = field(default_factory=list)


def worth_replaying(weights: int, activations: int, positions: int) -> bool:
    """Whether a use is replayed: a fixed rule of the shapes, since a timed one would make equal runs differ.

    The weight must outweigh the activations (input and output) of an example, or nothing is saved; and its positions
    be few, or computing twice costs more time than storing. A traced program gives no gradient to what it notes.
    """
    return weights > activations and positions <= FEW_POSITIONS and not torch.compiler.is_compiling()
