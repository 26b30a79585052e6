"""Layers that can be certified tightly: bounded by construction, or with a known constant. Plain torch, no state."""

from __future__ import annotations

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen import validate
from dpgen.errors import InvalidValue

BALL_MARGIN = 1e-9
"""Relative: how far rounding in float64 may carry a projected code out of its ball."""


def project_onto_ball(codes: Tensor, radius: float) -> Tensor:
    """Each row, in float64, moved to norm `radius` at most, up to `BALL_MARGIN`; one that is not finite becomes 0.

    A projection onto a convex set is 1-Lipschitz. The rows of finite codes beyond 1e150 become 0 too.
    """
    rows = codes.to(torch.float64).flatten(1)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    factors = (radius / norms).clamp(max=1.0)  # radius / 0 gives 1
    return torch.where(norms.isfinite(), rows * factors, 0.0).reshape(codes.shape)


@final
class BallProjection(nn.Module):
    """Projects each row onto the ball of `radius` around 0: 1-Lipschitz."""

    def __init__(self, radius: float) -> None:
        super().__init__()
        validate.positive(radius=radius)
        self.radius = radius

    def forward(self, x: Tensor) -> Tensor:
        """`[n, ...]` to the same shape and precision."""
        rows = x.flatten(1)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        inside: Tensor = rows * (self.radius / norms.clamp(min=self.radius))
        return inside.view_as(x)

    def extra_repr(self) -> str:
        """What tells one from another."""
        return f"radius={self.radius!r}"


@final
class GroupSort(nn.Module):
    """Sorts each pair of neighbouring channels (MaxMin): 1-Lipschitz, and it keeps the norm of a gradient.

    Source: Anil, Lucas, Grosse: Sorting out Lipschitz function approximation. ICML 2019. arXiv 1811.05381.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, ...]` to the same shape; the number of channels is even."""
        if x.shape[1] % 2:
            raise InvalidValue(f"GroupSort needs an even number of channels; found {x.shape[1]}. Take one more.")
        first, second = x[:, 0::2], x[:, 1::2]
        return torch.stack((torch.maximum(first, second), torch.minimum(first, second)), dim=2).flatten(1, 2)


@final
class Centre(nn.Module):
    """Takes each row's mean over all its entries away: an orthogonal projection, so 1-Lipschitz."""

    def forward(self, x: Tensor) -> Tensor:
        """`[n, ...]` to the same shape."""
        return x - x.flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))


@final
class Scale(nn.Module):
    """Multiplies by a fixed public number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        validate.positive(factor=factor)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """`[n, ...]` to the same shape."""
        return x * self.factor

    def extra_repr(self) -> str:
        """What tells one from another."""
        return f"factor={self.factor!r}"


@final
class Residual(nn.Module):
    """x + inner(x), inner keeping the shape: its constant is 1 + L."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """`[n, ...]` to the same shape."""
        added: Tensor = x + self.inner(x)
        return added


@final
class Concatenation(nn.Module):
    """Several branches of one input, concatenated along axis 1: its constant is sqrt(L1^2 + L2^2 + ...)."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, ...]` to `[n, sum of channels, ...]`."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@final
class AolLinear(nn.Module):
    """A linear layer of norm at most 1, whatever its `weight` is: column i is divided by sqrt(sum_j |W^T W|_ij).

    Source: Prach, Lampert: Almost-orthogonal layers for efficient general-purpose Lipschitz networks. ECCV 2022,
    theorem 1. arXiv 2208.03160.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        validate.count(1, inputs=inputs, outputs=outputs)
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(outputs, inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def bounded_weight(self) -> Tensor:
        """The weight in force `[outputs, inputs]`."""
        sums = (self.weight.mT @ self.weight).abs().sum(0)
        return self.weight * _inverse_root(sums)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs]` to `[n, outputs]`."""
        return F.linear(x, self.bounded_weight(), self.bias)

    def extra_repr(self) -> str:
        """What tells one from another."""
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


@final
class AolConv2d(nn.Module):
    """A convolution with zero padding of norm at most 1, whatever its `weight` is.

    Input channel i is divided by sqrt(sum |autocorrelation of the kernel|) over channels and shifts: theorem 2 of the
    source of `AolLinear`. The padding keeps the sides where `stride` is 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        validate.count(1, inputs=inputs, outputs=outputs, kernel=kernel, stride=stride)
        flat = nn.init.orthogonal_(torch.empty(outputs, inputs * kernel**2))
        self.weight = nn.Parameter(flat.reshape(outputs, inputs, kernel, kernel) * math.sqrt(kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.padding = stride, (kernel - 1) // 2

    def bounded_weight(self) -> Tensor:
        """The weight in force `[outputs, inputs, kernel, kernel]`."""
        turned = self.weight.transpose(0, 1)
        shifts = F.conv2d(turned, turned, padding=self.weight.shape[-1] - 1)
        return self.weight * _inverse_root(shifts.abs().sum((1, 2, 3)))[None, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs, height, width]` to `[n, outputs, height / stride, width / stride]`."""
        return F.conv2d(x, self.bounded_weight(), self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        """What tells one from another."""
        outputs, inputs, kernel, _ = self.weight.shape
        return f"{inputs}, {outputs}, kernel={kernel}, stride={self.stride}"


def _inverse_root(sums: Tensor) -> Tensor:
    """1 / sqrt, and 0 for an input that no weight uses."""
    return torch.where(sums > 0, sums.clamp(min=1e-30).rsqrt(), 0.0)
