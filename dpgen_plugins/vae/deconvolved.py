"""The law of codes behind noisy codes: what many draws of a known noise tell of it. Post-processing, all of it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from dpgen.mechanisms.lipschitz import project_onto_ball
from dpgen_plugins.vae.networks import Decoder


def deconvolved_laws(codes: Tensor, deviation: float) -> tuple[Tensor, Tensor]:
    """Means `[classes, d]` and factors `[classes, d, d]` of the codes' laws, from codes with noise of `deviation`.

    The noise is independent of the codes, so covariances add: what remains after `deviation`^2 I is theirs. A class
    is drawn towards the mean of all classes by as much as chance alone would move its covariance from there (James and
    Stein 1961): m draws of covariance S estimate it with an expected squared error of (tr(S)^2 + |S|^2) / (m - 1).

    Args: `codes` float64 `[classes, draws, d]`.
    """
    _, draws, latent = codes.shape
    mean = codes.mean(1)
    centred = codes - mean[:, None]
    noisy = centred.mT @ centred / max(draws - 1, 1)
    by_chance = (noisy.diagonal(dim1=1, dim2=2).sum(1).square() + noisy.square().sum((1, 2))) / max(draws - 1, 1)
    pooled = noisy.mean(0)
    apart = (noisy - pooled).square().sum((1, 2))
    own = (1 - by_chance / apart.clamp(min=1e-30)).clamp(min=0)[:, None, None]
    noise = deviation**2 * torch.eye(latent, dtype=codes.dtype)
    values, vectors = torch.linalg.eigh(own * noisy + (1 - own) * pooled - noise)
    return mean, vectors * values.clamp(min=0).sqrt()[:, None]


@final
class LawsAndDecoder(nn.Module):
    """Standard normal numbers and a class to an image: through the class's law of codes, the ball, and the decoder."""

    mean: Tensor
    factor: Tensor

    def __init__(self, decoder: Decoder, *, classes: int, latent: int, radius: float, temperature: float) -> None:
        super().__init__()
        self.decoder, self.radius, self.temperature = decoder, radius, temperature
        self.register_buffer("mean", torch.zeros(classes, latent))
        self.register_buffer("factor", torch.eye(latent).repeat(classes, 1, 1))

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images `[n, c, h, w]` in [0, 1] from `noise [n, latent]` and labels `[n]`."""
        spread = torch.einsum("nij,nj->ni", self.factor[labels], self.temperature * noise)
        codes = project_onto_ball(self.mean[labels] + spread, self.radius).to(noise.dtype)
        return self.decoder.images(codes, torch.zeros_like(labels))
