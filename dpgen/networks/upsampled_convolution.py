"""Doubling a map and convolving it in one step, at a third of the arithmetic."""

from __future__ import annotations

from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KERNEL: Final = 5
_FOLDED: Final = 3


@final
class UpsampledConvolution(nn.Conv2d):
    """A 5 x 5 convolution of the map that nearest-neighbour doubling makes of the input, without making that map.

    Beside a pixel of the doubled map stand copies of no more than three pixels of the input, in each direction, so its
    25 weights add up to 9, other sums for even and odd rows and columns. Four 3 x 3 convolutions of the small map, one
    for each parity, therefore give the same numbers up to rounding, for 9 products instead of 25. The weight is that
    of the plain layer, `[outputs, inputs, 5, 5]`: either can read what the other saved.

    Args: `inputs`, `outputs` channels, >= 1.
    Source: the sub-pixel view of upsampling, Shi et al. 2016 (arXiv 1609.07009), section 2.
    """

    fold: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, _KERNEL, padding=_KERNEL // 2, bias=False)
        self.register_buffer("fold", _fold(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """`[n, outputs, 2 height, 2 width]` of `maps [n, inputs, height, width]`."""
        # W'[o, a, b, i, u, v] = sum over k, l of fold[a, u, k] fold[b, v, l] W[o, i, k, l]
        folded = torch.einsum("auk,bvl,oikl->oabiuv", self.fold, self.fold, self.weight)
        folded = folded.reshape(4 * self.out_channels, self.in_channels, _FOLDED, _FOLDED)
        last = torch.channels_last  # what the CPU kernels convolve best
        quarters = F.conv2d(maps.contiguous(memory_format=last), folded.contiguous(memory_format=last), padding=1)
        return F.pixel_shuffle(quarters, 2)


def _fold() -> Tensor:
    """`[parity, 3, 5]`: 1 where weight k, k - 2 pixels away in the doubled map, meets input pixel u of three."""
    fold = torch.zeros(2, _FOLDED, _KERNEL)
    for parity in (0, 1):
        for place in range(_KERNEL):
            fold[parity, (parity + place - _KERNEL // 2) // 2 + 1, place] = 1
    return fold
