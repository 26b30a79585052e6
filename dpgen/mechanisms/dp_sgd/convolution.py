"""Per-example weight gradients of a two-dimensional convolution: four exact ways to sum over an example's rows.

Each takes the input `[examples * views, c, h, w]` and the output's gradient `[examples * views, p, h', w']`, in any
memory format, and gives `[examples, *weight]`. They differ in speed and in rounding, so the choice is a fixed rule of
the shapes: a timed choice would make two runs of the same seed differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from dpgen.mechanisms.dp_sgd.uses import FEW_POSITIONS

Kernel: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]

_FEW_OUTPUTS: Final = 4
"""The CPU's grouped convolution computes channels by the vector: with so few outputs it wastes most of its work
(14 x 14 pixels, 16 to 4 channels, 128 rows: 3.9 ms against 1.4 ms)."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """The public settings of one convolution; `padding` is symmetric zeros, all else is padded beforehand."""

    weight: torch.Size
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @property
    def replayable(self) -> bool:
        """Whether every kernel for few positions is a matrix product, which gives the same bits each time."""
        return self.groups == 1

    def output_shape(self, images: Tensor) -> tuple[int, int, int, int]:
        """The shape of the convolution of `images`."""
        sides = zip(images.shape[2:], self.weight[2:], self.stride, self.padding, self.dilation, strict=True)
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides)
        return len(images), self.weight[0], height, width

    def input_gradient(self, gradient: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """The gradient with respect to the input, by the library's own kernel."""
        return self._backward(gradient, images, weight, self.groups, (True, False, False))[0]

    def weight_gradients(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One weight gradient per example, `[examples, *weight]`."""
        return self._kernel(gradient, examples)(gradient, images, examples)

    def _kernel(self, gradient: Tensor, examples: int) -> Kernel:
        if self.groups > 1:
            return self._by_groups
        if self.weight[2:] == (1, 1) and self.padding == (0, 0) and self.stride == (1, 1):
            return self._by_pixels
        if self.weight[0] <= _FEW_OUTPUTS < self.weight[1] and self.stride == (1, 1):
            return self._by_shift
        if len(gradient) // examples * gradient.shape[2] * gradient.shape[3] <= FEW_POSITIONS:
            return self._by_patches
        return self._by_groups

    def _by_pixels(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """A 1 x 1 kernel is a matrix product over the pixels of each row; no copy in either dense memory format."""
        by_row = torch.bmm(gradient.flatten(2), images.flatten(2).mT)
        return by_row.view(examples, -1, *self.weight).sum(1)

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

    def _by_patches(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One batched matrix product with the patch under each output position, copied out; one group only."""
        out_channels, in_channels, *kernel = self.weight
        (step_y, step_x), (dilate_y, dilate_x), (pad_y, pad_x) = self.stride, self.dilation, self.padding
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, pad_x, pad_x, pad_y, pad_y)).contiguous()
        row, line, column, channel = padded.stride()
        shape = (len(images), *gradient.shape[2:], *kernel, in_channels)
        strides = (row, line * step_y, column * step_x, line * dilate_y, column * dilate_x, channel)
        patches = padded.as_strided(shape, strides).reshape(examples, -1, kernel[0] * kernel[1] * in_channels)
        outputs = gradient.permute(0, 2, 3, 1).reshape(examples, -1, out_channels)
        by_position = (outputs.mT @ patches).view(examples, out_channels, *kernel, in_channels)
        return by_position.permute(0, 1, 4, 2, 3)

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
            result[:, position] = torch.bmm(left, inputs[:, shift : shift + length])  # out= would go item by item
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
