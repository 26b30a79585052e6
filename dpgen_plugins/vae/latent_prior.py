"""A normal law of codes for each class, from noisy moments: what a trained VAE's codes are really like."""

from __future__ import annotations

import math
from typing import Final, final

import torch
from torch import Tensor, nn

from dpgen.budget import Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.events import Gaussian
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen_plugins.vae.networks import Decoder, Encoder
from dpgen_plugins.vae.settings import LatentPriorSettings

LABEL: Final = "latent-moments"
RECORDS_AT_ONCE: Final = 512
_NORM: Final = 1.0
_PART: Final = 3**-0.5
"""Count, mean and second moment take the same room within the norm."""
_LEAST_VARIANCE: Final = 1e-3


def latent_prior(
    encoder: Encoder, private: PrivateDataset, plan: Plan, settings: LatentPriorSettings, context: RunContext
) -> dict[str, Tensor]:
    """Mean `[classes, latent]` and factor F `[classes, latent, latent]` of each class's codes, of covariance F F'.

    A record's code law N(mean, variance) has the mean clipped to length R = `radius` sqrt(latent). Its vector is
    (1, u, u u' + diag(variance) / R^2) / sqrt(3) with u = mean / R, in the block of its class, clipped to length 1.

    Privacy: the charge that `plan` holds under "latent-moments", `Gaussian`: L2 sensitivity 1 under add-or-remove-one,
    2 under replace-one. `encoder` must be released already, or public. What follows the noise is post-processing.
    """
    encoder.to(context.device).eval()
    latent = encoder.code.out_features // 2
    radius = settings.radius * math.sqrt(latent)

    def vectors(images: Tensor, labels: Tensor) -> Tensor:
        mean, log_variance = encoder(images.to(context.device), labels.to(context.device))
        length = torch.linalg.vector_norm(mean, dim=1, keepdim=True)
        unit = mean / length.clamp(min=radius)
        second = unit[:, :, None] * unit[:, None] + torch.diag_embed(log_variance.exp() / radius**2)
        return _PART * torch.cat((torch.ones_like(length), unit, second.flatten(1)), 1)

    mechanism = GaussianSum(
        vectors=vectors,
        dimension=1 + latent + latent * latent,
        clip_norm=_NORM,
        noise_multiplier=plan.of_kind(LABEL, Gaussian).noise_multiplier,
        classes=private.info.classes,
        batch=RECORDS_AT_ONCE,
        phase=LABEL,
    )
    sums = private.release(mechanism, label=LABEL) / _PART
    noise = mechanism.noise_multiplier * _NORM / _PART
    mean, factor = normal_laws(sums, noise, radius=radius, expected=private.info.nominal_records / private.info.classes)
    return {"mean": mean.float(), "factor": factor.float()}


def normal_laws(sums: Tensor, noise: float, *, radius: float, expected: float) -> tuple[Tensor, Tensor]:
    """Means and factors of the covariances, from noisy sums `[classes, 1 + d + d d]` with noise of deviation `noise`.

    A class whose noisy count is below a tenth of `expected`, the public average, is counted as that. A covariance is
    drawn towards the mean of all by as much as noise alone would move it from there (James and Stein 1961).
    """
    classes, latent = len(sums), math.isqrt(sums.shape[1] - 1)
    count = sums[:, :1].clamp(min=expected / 10)
    mean = radius * sums[:, 1 : 1 + latent] / count
    second = radius**2 * (sums[:, 1 + latent :] / count).view(classes, latent, latent)
    covariance = (second + second.mT) / 2 - mean[:, :, None] * mean[:, None]
    pooled = covariance.mean(0)
    apart = (covariance - pooled).square().sum((1, 2))
    by_noise = latent * (latent + 1) / 2 * (radius**2 * noise / count[:, 0]).square()
    own = (1 - by_noise / apart.clamp(min=1e-30)).clamp(min=0)[:, None, None]
    values, vectors = torch.linalg.eigh(own * covariance + (1 - own) * pooled)
    return mean, vectors * values.clamp(min=_LEAST_VARIANCE).sqrt()[:, None]


@final
class PriorAndDecoder(nn.Module):
    """Standard normal numbers and a class to an image: through the class's law of codes, then the decoder."""

    mean: Tensor
    factor: Tensor

    def __init__(self, decoder: Decoder, *, latent: int, temperature: float) -> None:
        super().__init__()
        self.decoder, self.temperature = decoder, temperature
        self.register_buffer("mean", torch.zeros(decoder.classes, latent))
        self.register_buffer("factor", torch.eye(latent).repeat(decoder.classes, 1, 1))

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images `[n, c, h, w]` in [0, 1] from `noise [n, latent]` and labels `[n]`."""
        spread = torch.einsum("nij,nj->ni", self.factor[labels], self.temperature * noise)
        return self.decoder.images(self.mean[labels] + spread, labels)
