"""The noise levels that a sampler visits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dpgen import validate
from dpgen.errors import InvalidValue

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy images `[n, c, h, w]`, noise level `[n]`, labels `[n]`) to the expected clean images, in [-1, 1]."""


def noise_levels(steps: int, *, lowest: float = 0.002, highest: float = 80.0, rho: float = 7.0) -> Tensor:
    """`steps` noise levels from `highest` down to `lowest`, then 0: float64 `[steps + 1]`.

    Source: Karras et al. 2022 (arXiv 2206.00364), equation 5.
    """
    validate.count(2, steps=steps)
    validate.positive(lowest=lowest, highest=highest, rho=rho)
    if lowest >= highest:
        raise InvalidValue(f"lowest noise level must be below the highest; found {lowest} and {highest}.")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    top, bottom = highest ** (1 / rho), lowest ** (1 / rho)
    levels = (top + ramp * (bottom - top)) ** rho  # sigma_i, EDM equation 5
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])
