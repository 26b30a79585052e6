"""Upper bounds on operator norms, L2 to L2, in float64. Never power iteration: it approaches the norm from below."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpgen.errors import SensitivityError
from dpgen.mechanisms.lipschitz.growth import ROUNDOFF

MARGIN = 1e-6
"""Relative: every bound is multiplied by 1 + MARGIN, which covers the rounding of its own computation."""
SQUARINGS = 11
"""The slack is at most rank^(1 / 2^13): 0.14 % at rank 1e5."""


def matrix_norm(matrices: Tensor) -> float:
    """A bound on the largest singular value of any of `matrices` `[..., rows, columns]`, real or complex.

    Gram iteration: |W| = |(W^H W)^(2^t)|^(1 / 2^(t + 1)) <= Frobenius norm of that power, to the same root; an upper
    bound at every t (Delattre et al. 2023, arXiv 2305.16173). One product of size n is off by at most
    n u sqrt(n) of its Frobenius norm, and what is off at step k enters the root divided by 2^k: twice the first
    step's error in all, far below `MARGIN` for every n that is let through.
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        matrices = matrices.mH
    size = matrices.shape[-2]
    if 8 * size**1.5 * ROUNDOFF > MARGIN:
        raise SensitivityError(f"a matrix must have at most 1e5 rows to be certified; found {size}. Use a smaller one.")
    largest = float(matrices.abs().max())
    if not math.isfinite(largest):
        raise SensitivityError("weights must be finite to have a norm; found NaN or infinity. Train them anew.")
    if largest == 0:
        return 0.0
    matrices = matrices / largest  # else the squares of small numbers would vanish, and the bound with them
    gram, log = _normed((matrices.mH @ matrices).reshape(-1, matrices.shape[-1], matrices.shape[-1]))
    for step in range(SQUARINGS):
        gram, log = _leading(gram, log, power=2.0**step)
        gram, more = _normed(gram @ gram)
        log = log + more / 2.0 ** (step + 1)
    bound = math.exp(float(log.max()) / 2) * (1 + MARGIN) * largest
    if not math.isfinite(bound):
        raise SensitivityError(f"a norm must be within float64; found one of about {largest:.0e} times more. Scale it.")
    return bound


def _leading(grams: Tensor, logs: Tensor, *, power: float) -> tuple[Tensor, Tensor]:
    """Those whose norm may still be the largest: |G| >= |G^p|_F^(1/p) / rank^(1 / 2p), so the others are below it."""
    slack = math.log(grams.shape[-1]) / (2 * power) + MARGIN
    keep = ~(logs < logs.max() - slack)  # a NaN stays
    return grams[keep], logs[keep]


def _normed(grams: Tensor) -> tuple[Tensor, Tensor]:
    """Each divided by its Frobenius norm, and the logarithm of that norm; of zeros they are zeros and -infinity."""
    flat = torch.view_as_real(grams).flatten(1) if grams.is_complex() else grams.flatten(1)
    norms = torch.linalg.vector_norm(flat, dim=1)
    safe = torch.where(norms == 0, 1.0, norms)
    return grams / safe[:, None, None], torch.where(norms == 0, -math.inf, norms.log())


def convolution_norm(kernel: Tensor, image: tuple[int, int], *, groups: int, dilation: tuple[int, int]) -> float:
    """A bound for the convolution of `image` (height, width) with zero padding of any width, and with any stride.

    Zero padding, convolution and the cut to the output are embedding, circular convolution on a torus of
    N + (k - 1) dilation pixels a side, and restriction. A stride restricts further; both embeddings and restrictions
    have norm 1. A circular convolution is block diagonal in the frequencies (Sedghi, Gupta, Long 2019): the largest
    norm of `[out, in]` transfer matrices bounds it. Exact for circular padding, where the caller shrinks `image`.

    Args: `kernel` float64 `[out, in / groups, k, k]`.
    """
    height, width = (n + (k - 1) * d for n, k, d in zip(image, kernel.shape[2:], dilation, strict=True))
    return torus_norm(kernel, (height, width), groups=groups, dilation=dilation)


def torus_norm(kernel: Tensor, torus: tuple[int, int], *, groups: int, dilation: tuple[int, int]) -> float:
    """A bound for circular convolution on a torus of (height, width) pixels, which must hold the dilated kernel."""
    out, inside, height, width = kernel.shape
    spread = kernel.new_zeros(out, inside, (height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1)
    spread[:, :, :: dilation[0], :: dilation[1]] = kernel
    transfer = torch.fft.rfft2(spread, s=torus)  # the other half of the frequencies are complex conjugates
    blocks = transfer.reshape(groups, out // groups, inside, -1).permute(0, 3, 1, 2)
    return matrix_norm(blocks.flatten(0, 1))


def patch_norm(kernel: Tensor, stride: tuple[int, int]) -> float:
    """Another bound for a plain convolution (groups 1, no dilation): often the better one for a large stride.

    The output is the kernel as a matrix on patches, and a pixel lies in at most ceil(k / s) patches a side.
    """
    overlaps = math.prod(math.ceil(k / s) for k, s in zip(kernel.shape[2:], stride, strict=True))
    return math.sqrt(overlaps) * matrix_norm(kernel.flatten(1))


def absolute_norm(weight: Tensor) -> float:
    """A bound on the norm of |W|, the absolute values: what rounding errors grow with. `[out, in, ...]`.

    sqrt(|W|_1 |W|_inf), for a convolution with all its positions in each sum.
    """
    absolute = weight.abs()
    rows = absolute.flatten(1).sum(1).max()
    columns = absolute.transpose(0, 1).flatten(1).sum(1).max()
    return math.sqrt(float(rows * columns)) * (1 + MARGIN)
