"""Per-example weight gradients of a two-dimensional convolution: three exact ways to sum over an example's rows.

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
"""At most this many output positions: shifted matrix products win on the CPU (8 x 8 pixels and below)."""


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
        kernel = self._by_shift if self._shift_is_faster(gradient) else self._by_groups
        return kernel(gradient, images, examples)

    def _shift_is_faster(self, gradient: Tensor) -> bool:
        small = gradient.shape[2] * gradient.shape[3] <= _SHIFT_POSITIONS
        return small and self.groups == 1 and gradient.device.type == "cpu"

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

    def _by_loop(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """The library's own kernel, once per example."""
        weight = images.new_empty(self.weight)  # only its shape is read
        pairs = zip(gradient.chunk(examples), images.chunk(examples), strict=True)
        each = [self._backward(g, x, weight, self.groups, (False, True, False))[1] for g, x in pairs]
        return torch.stack(each)

    def _by_shift(self, gradient: Tensor, images: Tensor, examples: int) -> Tensor:
        """One batched matrix product per kernel position, on shifted views of the padded input; one group only."""
        out_channels, in_channels, kernel_height, kernel_width = self.weight
        height, width = gradient.shape[2:]
        (down, right), (dilate_y, dilate_x), (pad_y, pad_x) = self.stride, self.dilation, self.padding
        padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, pad_x, pad_x, pad_y, pad_y))
        left = gradient.permute(0, 2, 3, 1).reshape(examples, -1, out_channels).mT
        result = gradient.new_empty(kernel_height, kernel_width, examples, out_channels, in_channels)
        for i in range(kernel_height):
            rows = slice(i * dilate_y, i * dilate_y + down * (height - 1) + 1, down)
            for j in range(kernel_width):
                columns = slice(j * dilate_x, j * dilate_x + right * (width - 1) + 1, right)
                torch.bmm(left, padded[:, rows, columns].reshape(examples, -1, in_channels), out=result[i, j])
        return result.permute(2, 3, 4, 0, 1).contiguous()

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
