"""What a VAE is trained for: the evidence lower bound of each image, with its own randomness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.noise import RowRandom
from dpgen_plugins.vae.networks import Vae
from dpgen_plugins.vae.settings import VaeSettings

_LEAST_LOG_SCALE: Final = -6.0
_LEAST_MASS: Final = 1e-9


@final
@dataclass(frozen=True)
class ElboInputs:
    """Rows of one image, its label, and the normal numbers that its code is drawn with."""

    latent: int

    def __call__(self, images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
        """See `dpgen.mechanisms.dp_sgd.Inputs`."""
        return images.repeat_interleave(views, 0), labels.repeat_interleave(views), random.normal(self.latent)


@final
@dataclass(frozen=True)
class ElboLoss:
    """-log p(x | z, y) + beta KL(q(z | x, y) || N(0, I)) per pixel, at one z of q.

    Every row is computed alone; the draw of z is secret randomness inside a record's loss. KL terms of a code number
    below `free_bits` count as that. Source: Kingma, Welling 2014 (arXiv 1312.6114), equation 10; beta: Higgins et al.
    2017; free bits: Kingma et al. 2016 (arXiv 1606.04934), by image instead of batch.
    """

    settings: VaeSettings

    def __call__(self, module: nn.Module, images: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
        """`[rows]`, in nats per pixel."""
        assert isinstance(module, Vae)
        mean, log_variance = module.encoder(images, labels)
        codes = mean + (log_variance / 2).exp() * noise
        surprise = SURPRISE[self.settings.likelihood](module.decoder(codes, labels), images).flatten(1).sum(1)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        divergence = divergence.clamp(min=self.settings.free_bits).sum(1)
        losses: Tensor = (surprise + self.settings.beta * divergence) / images[0].numel()
        return losses


def _bernoulli(logits: Tensor, images: Tensor) -> Tensor:
    """-log p of each pixel; a grey one is as much of both. The usual choice for drawings, though no law of greys."""
    return F.binary_cross_entropy_with_logits(logits, images, reduction="none")


def _logistic(parameters: Tensor, images: Tensor) -> Tensor:
    """-log of the logistic mass on the 1/255 around each grey value; 0 and 1 take the tails.

    Source: Kingma et al. 2016 (arXiv 1606.04934), section 6; Salimans et al. 2017 (arXiv 1701.05517), equation 2.
    """
    raw, log_scale = parameters.chunk(2, 1)
    inverse = (-log_scale.clamp(min=_LEAST_LOG_SCALE)).exp()
    from_mean, half = images - torch.sigmoid(raw), 0.5 / 255
    upper, lower = inverse * (from_mean + half), inverse * (from_mean - half)
    mass = torch.sigmoid(upper) - torch.sigmoid(lower)
    between = -mass.clamp(min=_LEAST_MASS).log()
    return torch.where(images < half, F.softplus(-upper), torch.where(images > 1 - half, F.softplus(lower), between))


SURPRISE: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {"bernoulli": _bernoulli, "logistic": _logistic}
"""-log p of each pixel `[n, c, h, w]`, by the likelihood's name."""
