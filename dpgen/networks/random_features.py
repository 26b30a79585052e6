"""Random Fourier features: vectors of length 1 whose inner products are close to a Gaussian kernel's values."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from dpgen import validate


@final
class RandomFourierFeatures(nn.Module):
    """phi(x) = [cos(W x), sin(W x)] / sqrt(features / 2), with the rows of W normal of deviation 1 / `bandwidth`.

    E phi(x) . phi(y) = exp(-|x - y|^2 / (2 bandwidth^2)) over W. Every phi(x) has L2 norm 1, because cos^2 + sin^2 = 1:
    a sum of features over records is bounded without a clip, and one record moves it by 1 (2 where it is replaced).

    Args: `inputs` numbers of an image; `features` even, >= 2; `bandwidth` in Euclidean distance of inputs;
    `generator` of W, public: equal generators give equal features.
    Source: Rahimi, Recht 2007, Random Features for Large-Scale Kernel Machines; used in DP-MERF (arXiv 2002.11603).
    """

    frequencies: Tensor

    def __init__(self, inputs: int, features: int, *, bandwidth: float, generator: torch.Generator) -> None:
        validate.count(1, inputs=inputs)
        validate.count(2, features=features)
        validate.positive(bandwidth=bandwidth)
        super().__init__()
        self.features = features // 2 * 2
        weights = torch.randn(features // 2, inputs, generator=generator) / bandwidth
        self.register_buffer("frequencies", weights)

    def forward(self, images: Tensor) -> Tensor:
        """`[n, features]` of float images `[n, ...]` in [0, 1], each of norm 1 up to rounding."""
        angles: Tensor = images.flatten(1) @ self.frequencies.T
        return torch.cat((angles.cos(), angles.sin()), 1) * math.sqrt(2 / self.features)
