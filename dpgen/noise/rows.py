"""The randomness inside a record's loss, addressed by record, and its public stand-in for made-up images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, final

import numpy as np
import torch
from torch import Tensor

from dpgen.noise.base import Integers, RowRandom
from dpgen.noise.philox import Words4, philox
from dpgen.noise.streams import Stream

_WORD: Final = 0xFFFFFFFF
_COUNTERS_IN_CACHE: Final = 1 << 14
"""On the CPU the integers of one piece shall stay in its cache."""
_COUNTERS_IN_MEMORY: Final = 1 << 22
"""On other devices a piece only bounds the memory."""


@final
class RecordRows(RowRandom):
    """Draws that belong to (secret address, record id, view, number of the call): nothing else can change them.

    Not the other records of the batch, not their order, not how a step is cut into passes, nor the device, up to the
    rounding of its logarithm and cosine.

    Call n is keyed by the n-th word of `stream`; the Philox counter is (block, view, record id). Philox is not
    cryptographic. It need not be: the guarantee rests on the Gaussian noise alone, which never comes from here. These
    draws must only be unknown beforehand and fresh in each (label, step).
    """

    def __init__(self, stream: Stream, ids: Integers, views: int, device: torch.device) -> None:
        self._stream, self._device = stream, device
        identity = torch.from_numpy(np.array(ids, dtype=np.int64)).to(device).repeat_interleave(views)[:, None]
        view = torch.arange(views, device=device).repeat(len(ids))[:, None]
        self._row = (view, identity & _WORD, (identity >> 32) & _WORD)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`."""
        return self._drawn(_normals, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`, multiples of 2^-24."""
        return self._drawn(_uniforms, shape)

    def _drawn(self, law: Callable[[Words4], Tensor], shape: tuple[int, ...]) -> Tensor:
        size, rows = math.prod(shape), len(self._row[0])
        key, blocks = int(self._stream.words(1)[0]), -(-size // 4)
        block = torch.arange(blocks, device=self._device)[None]
        drawn = torch.empty(rows, 4, blocks, dtype=torch.float32, device=self._device)
        at_once = _COUNTERS_IN_CACHE if self._device.type == "cpu" else _COUNTERS_IN_MEMORY
        step = max(1, at_once // max(1, blocks))
        for first in range(0, rows, step):
            view, low, high = (part[first : first + step] for part in self._row)
            drawn[first : first + step] = law(philox((block, view, low, high), key))
        return drawn.view(rows, 4 * blocks)[:, :size].reshape(rows, *shape)


def _uniforms(words: Words4) -> Tensor:
    """The upper 24 bits of each word, which a float32 holds exactly: never 1."""
    return torch.stack([(word >> 8).to(torch.float32) for word in words], dim=1).mul_(2.0**-24)


def _normals(words: Words4) -> Tensor:
    """Two normals from each pair of words (Box and Muller 1958)."""
    pairs = [_box_muller(words[0], words[1]), _box_muller(words[2], words[3])]
    return torch.stack([normal for pair in pairs for normal in pair], dim=1)


def _box_muller(radial: Tensor, angular: Tensor) -> tuple[Tensor, Tensor]:
    # The half keeps the logarithm finite: (0 + 1/2) 2^-32 gives the largest draw, 6.76. Rounding up to 1 gives 0.
    radius = radial.to(torch.float32).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = angular.to(torch.float32).mul_(2.0**-32 * 2 * math.pi)
    return radius * angle.cos(), radius * angle.sin()


@final
class PublicRows(RowRandom):
    """Rows from a public generator: for public or made-up images only."""

    def __init__(self, rows: int, generator: torch.Generator, device: torch.device) -> None:
        self._rows, self._generator, self._device = rows, generator, device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`, drawn where the generator is."""
        return self._drawn(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`, drawn where the generator is."""
        return self._drawn(torch.rand, shape)

    def _drawn(self, law: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        drawn = law(self._rows, *shape, generator=self._generator, device=self._generator.device)
        return drawn.to(self._device)
