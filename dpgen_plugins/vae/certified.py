"""An autoencoder for public training: a certified encoder into a ball, and any decoder out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor, nn

from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.mechanisms.lipschitz import AolConv2d, AolLinear, BallProjection, GroupSort
from dpgen.noise import RowRandom
from dpgen_plugins.vae.networks import Decoder
from dpgen_plugins.vae.settings import CertifiedVaeSettings, VaeSettings
from dpgen_plugins.vae.training import SURPRISE

RADIUS: Final = 1.0
"""Of the ball of codes. The noise is stated in its units, so another one changes nothing."""
_MULTIPLE: Final = 4


@final
class CertifiedVae(nn.Module):
    """`encoder(images)` in the ball of `RADIUS`; `decoder(codes, labels)`, the labels being all 0: codes are enough."""

    def __init__(self, info: DatasetInfo, settings: CertifiedVaeSettings) -> None:
        super().__init__()
        channels, height, width = info.shape
        wide, sides = settings.width, (height // _MULTIPLE) * (width // _MULTIPLE)
        layers = (_bounded if settings.certified else _plain)(channels, wide, sides, settings)
        self.encoder = nn.Sequential(*layers, BallProjection(RADIUS))
        own = VaeSettings(latent=settings.latent, width=wide, halvings=2, likelihood=settings.likelihood)
        self.decoder = Decoder(info.shape, 1, own)


def _bounded(channels: int, wide: int, sides: int, settings: CertifiedVaeSettings) -> list[nn.Module]:
    """Layers of norm at most 1, and a last one that is free: its norm is the constant of the encoder."""
    return [
        *(AolConv2d(channels, wide, 5, 2), GroupSort(), AolConv2d(wide, 2 * wide, 5, 2), GroupSort(), nn.Flatten()),
        *(AolLinear(2 * wide * sides, 8 * wide), GroupSort(), nn.Linear(8 * wide, settings.latent)),
    ]


def _plain(channels: int, wide: int, sides: int, settings: CertifiedVaeSettings) -> list[nn.Module]:
    return [
        *(nn.Conv2d(channels, wide, 5, 2, 2), nn.SiLU(), nn.Conv2d(wide, 2 * wide, 5, 2, 2), nn.SiLU(), nn.Flatten()),
        *(nn.Linear(2 * wide * sides, 8 * wide), nn.SiLU(), nn.Linear(8 * wide, settings.latent)),
    ]


def fresh_certified_vae(settings: CertifiedVaeSettings, info: DatasetInfo, *, seed: int) -> CertifiedVae:
    """With public initial weights drawn from `seed`.

    Raises: `InvalidValue` when the sides of an image do not divide by 4.
    """
    if info.shape.height % _MULTIPLE or info.shape.width % _MULTIPLE:
        raise InvalidValue(
            f"this network needs sides that divide by {_MULTIPLE}; found {info.shape.height} x {info.shape.width}. "
            "Change `data.size`."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CertifiedVae(info, settings)


@final
@dataclass(frozen=True)
class CodeInputs:
    """Rows of one public image, and the normal numbers that its code is blurred with."""

    latent: int

    def __call__(self, images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, ...]:
        """See `dpgen.mechanisms.dp_sgd.Inputs`."""
        return images.repeat_interleave(views, 0), random.normal(self.latent)


@final
@dataclass(frozen=True)
class BlurredReconstruction:
    """-log p(x | code + blur) per pixel, the blur of one constant deviation: a VAE whose prior is the ball itself.

    The divergence from a prior is constant where the ball bounds the codes and their deviation is fixed, so the
    evidence bound leaves the reconstruction (Ghosh et al. 2020, arXiv 1903.12436, section 3).
    """

    settings: CertifiedVaeSettings

    def __call__(self, module: nn.Module, images: Tensor, noise: Tensor) -> Tensor:
        """`[rows]`, in nats per pixel."""
        assert isinstance(module, CertifiedVae)
        codes = module.encoder(images) + self.settings.blur * RADIUS * noise
        pixels = module.decoder(codes, torch.zeros(len(codes), dtype=torch.int64, device=codes.device))
        losses: Tensor = SURPRISE[self.settings.likelihood](pixels, images).flatten(1).mean(1)
        return losses
