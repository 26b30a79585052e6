"""Per-example weight gradients of a two-dimensional convolution: two exact ways to sum over an example's rows.

Each takes the input `[examples * views, c, h, w]` and the output's gradient `[examples * views, p, h', w']`, in any
memory format, and gives `[examples, *weight]`. They differ in speed and in rounding, so the choice is a fixed rule of
the shapes: a timed choice would make two runs of the same seed differ in their last bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_SHIFT_POSITIONS: Final = 64
_SHIFT_CHANNEL_PAIRS: Final = 1024
"""One row an example, at most so many output positions, at least so many (input, output) channel pairs: here the CPU's
grouped convolution falls back to a slow kernel (8 x 8 pixels, 64 x 64 channels: 29 ms against 14 ms)."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """The public settings of one convolution; `padding` is symmetric zeros, all else is padded beforehand."""

    weight: torch.Size
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def input_gradient(self, gradient: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to the input, by the library's own kernel."""
        return self._backward(gradient, images, weight, self.groups, (True, False, False))[0]

    def weight_gradients(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One weight gradient per example, `[examples, *weight]`."""
        kernel = self._by_shift if self._shift_is_faster(gradient, examples) else self._by_groups
        return kernel(gradient, images, examples)

    def _shift_is_faster(self, gradient: Tensor, examples: int) -> bool:
        out_channels, in_channels = self.weight[:2]
        small = gradient.shape[2] * gradient.shape[3] <= _SHIFT_POSITIONS
        wide = out_channels * in_channels >= _SHIFT_CHANNEL_PAIRS
        possible = self.groups == 1 and self.stride == (1, 1)
        return possible and len(gradient) == examples and small and wide

    def _by_groups(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One grouped convolution: the examples are its groups, an example's rows its batch."""
        out_channels, *kernel = self.weight
        weight = images.new_empty(examples * out_channels, *kernel)  # only its shape is read
        folded = self._backward(
            _examples_to_channels(gradient, examples),
            _examples_to_channels(images, examples),
            weight,
            examples * self.groups,
            (False, True, False),
        )[1]
        return folded.view(examples, *self.weight)

    def _by_shift(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One batched matrix product per kernel position, without an unfolded copy; stride 1 and one group only.

        Laid on the grid of the padded input (zeros in the rest), output position t meets input position t + shift, so
        each shifted input is a view. No view leaves its example: 0 times another example's NaN would be NaN.
        """
        out_channels, in_channels, kernel_height, kernel_width = self.weight
        (dilate_y, dilate_x), (pad_y, pad_x) = self.dilation, self.padding
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, pad_x, pad_x, pad_y, pad_y)).contiguous()
        height, width = padded.shape[1:3]
        rest = (0, 0, 0, width - gradient.shape[3], 0, height - gradient.shape[2])
        inputs = padded.view(examples, -1, in_channels)
        outputs = F.pad(gradient.permute(0, 2, 3, 1), rest).contiguous().view(examples, -1, out_channels)
        shifts = [i * dilate_y * width + j * dilate_x for i in range(kernel_height) for j in range(kernel_width)]
        length = inputs.shape[1] - shifts[-1]
        left = outputs[:, :length].mT
        result = gradient.new_empty(examples, len(shifts), out_channels, in_channels)
        for position, shift in enumerate(shifts):
            torch.bmm(left, inputs[:, shift : shift + length], out=result[:, position])
        by_position = result.view(examples, kernel_height, kernel_width, out_channels, in_channels)
        return by_position.permute(0, 3, 4, 1, 2)

    def _backward(
        self, gradient: Tensor, images: Tensor, weight: Tensor, groups: int, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, self.stride, self.padding, self.dilation, False, (0, 0), groups, wanted
        )
        return found


def _examples_to_channels(rows: Tensor, examples: int) -> Tensor:
    """`[examples * views, c, h, w]` to `[views, examples * c, h, w]`."""
    views, (channels, height, width) = len(rows) // examples, rows.shape[1:]
    by_view = rows.reshape(examples, views, channels, height, width).transpose(0, 1)
    return by_view.reshape(views, examples * channels, height, width)
