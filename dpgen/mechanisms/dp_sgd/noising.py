"""From a step's clipped sum to its gradient: noise once, then the public divisor."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dpgen.noise import NoiseSource


def noised_mean(
    total: Mapping[str, Tensor],
    noise: NoiseSource,
    *,
    standard_deviation: float,
    sensitivity: float,
    divisor: float,
    step: int,
) -> dict[str, Tensor]:
    """Each tensor of `total` plus its own Gaussian noise, divided by the public `divisor`. Safe once charged.

    Args: `total` the sum over all records of the step's sample, on every device and process together: the noise is
    added once. `sensitivity` L2 distance that one record may move all of `total`; `divisor` the expected sample size,
    never the actual one.
    """
    noised = {}
    for name, tensor in total.items():
        released = noise.gaussian(
            tensor.cpu().numpy(),
            standard_deviation=standard_deviation,
            sensitivity=sensitivity,
            step=step,
            tensor=name,
        )
        noised[name] = torch.from_numpy(released).to(tensor.device) / divisor
    return noised
