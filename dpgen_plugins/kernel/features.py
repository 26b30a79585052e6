"""Kernels on images as sums of Gaussian ones, and two finite feature maps of them: random, and by public points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn

from dpgen.networks.random_features import RandomFourierFeatures

JITTER: Final = 1e-4
"""Added to the diagonal of the points' kernel matrix: it can be inverted, and features get shorter, never longer."""


@dataclass(frozen=True)
class Term:
    """`share` times exp(-|space(x) - space(y)|^2 / (2 bandwidth^2)). The shares of a kernel's terms add up to 1."""

    share: float
    space: nn.Module
    """From float images in [0, 1] to rows `[n, d]`; public."""
    dimension: int
    """d."""
    bandwidth: float


@final
class RandomFeatures(nn.Module):
    """Random Fourier features of each term, side by side, each weighted by the root of its share.

    Their inner product is near the kernel, and their L2 norm is 1 for every image: sum of share * 1. One vector of
    norm 1 whatever the number of bandwidths, so it is one release at the price of one.

    Args: `features` in all, shared out evenly; `generator` of the frequencies, public.
    Source: Rahimi, Recht 2007; Harder et al., DP-MERF (arXiv 2002.11603), eq. 6.
    """

    def __init__(self, terms: Sequence[Term], *, features: int, generator: torch.Generator) -> None:
        super().__init__()
        each = max(2, features // len(terms))
        self._weights = [math.sqrt(term.share) for term in terms]
        self.spaces = nn.ModuleList(term.space for term in terms)
        self.maps = nn.ModuleList(
            RandomFourierFeatures(term.dimension, each, bandwidth=term.bandwidth, generator=generator) for term in terms
        )

    def forward(self, images: Tensor) -> Tensor:
        """`[n, features]` of norm 1 up to rounding."""
        rows = _in_spaces(self.spaces, images)
        parts = zip(self._weights, self.maps, rows, strict=True)
        return torch.cat([weight * phi(row) for weight, phi, row in parts], 1)


@final
class PointFeatures(nn.Module):
    """phi(x) = L^-1 k(points, x), where L L^T = K is the kernel matrix of public points: |phi(x)|^2 <= k(x, x) = 1.

    The bound is the Schur complement of [[K, k_x], [k_x^T, k(x, x)]], which is positive. Inner products are those of
    the embeddings projected on the span of the points. Independent noise on phi is, after multiplying by L, a Gaussian
    process of covariance k seen at the points: the functional mechanism of Hall, Rinaldo and Wasserman, asked at public
    places only. No private image and no generated one is a place where noise is drawn.

    Args: `points` float images in [0, 1], public.
    Source: Hall, Rinaldo, Wasserman 2013 (arXiv 1203.2570), corollary 9; Williams, Seeger 2001 for the features.
    """

    factor: Tensor

    def __init__(self, terms: Sequence[Term], points: Tensor) -> None:
        super().__init__()
        self._terms = tuple((term.share, term.bandwidth) for term in terms)
        self.spaces = nn.ModuleList(term.space for term in terms)
        with torch.no_grad():
            rows = _in_spaces(self.spaces, points)
            for index, row in enumerate(rows):
                self.register_buffer(f"place{index}", row)
            kernel = self._kernel([row.double() for row in rows])  # in float32 it need not be positive
            factor = torch.linalg.cholesky(kernel + JITTER * torch.eye(len(points)).to(kernel))
        self.register_buffer("factor", factor.float())

    def forward(self, images: Tensor) -> Tensor:
        """`[n, points]` of norm at most 1."""
        values = self._kernel(_in_spaces(self.spaces, images))
        solved: Tensor = torch.linalg.solve_triangular(self.factor, values.T, upper=False).T
        return solved

    def _kernel(self, rows: Sequence[Tensor]) -> Tensor:
        """`[n, points]`."""
        total = torch.zeros((), device=rows[0].device)
        for index, (row, (share, bandwidth)) in enumerate(zip(rows, self._terms, strict=True)):
            distances = squared_distances(row, self.get_buffer(f"place{index}").to(row))
            total = total + share * (-distances / (2 * bandwidth**2)).exp()
        return total


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """|a - b|^2 of each pair of rows, `[n, m]`, at least 0; smooth where a = b, unlike the distance itself."""
    squares = first.square().sum(1)[:, None] + second.square().sum(1)[None, :] - 2 * first @ second.T
    return squares.clamp(min=0)


def _in_spaces(spaces: nn.ModuleList, images: Tensor) -> list[Tensor]:
    """Each space's rows; one that several terms share is computed once."""
    known = {id(space): space(images) for space in {id(space): space for space in spaces}.values()}
    return [known[id(space)] for space in spaces]
