"""The deterministic first-order sampler.

Cost: one network evaluation a step. Also called: Euler on the probability flow. Source: Song, Meng, Ermon 2021
(arXiv 2010.02502) in the noise-level form of Karras et al. 2022, algorithm 1 without its correction.
"""

from __future__ import annotations

from torch import Tensor

from dpgen.generators.samplers.schedule import Denoiser


def sample_ddim(denoise: Denoiser, noise: Tensor, labels: Tensor, *, levels: Tensor) -> Tensor:
    """Images from standard normal `noise [n, c, h, w]`, following `levels [steps + 1]` down to 0."""
    x = noise * levels[0]
    for now, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        clean = denoise(x, x.new_full((len(x),), now), labels)
        x = clean + (after / now) * (x - clean)  # x' = D + (sigma'/sigma)(x - D)
    return x
