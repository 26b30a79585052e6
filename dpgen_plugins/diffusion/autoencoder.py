"""A small autoencoder of public images whose codes are bounded, and the space that it opens for a diffusion model.

Codes end in tanh, so they lie in [-1, 1] as pixels do and one diffusion core serves both. Noise on the codes in
training does what the KL term of a variational autoencoder is for: codes near one another decode to like images. Source
of diffusion in latent space: Rombach et al. 2022 (arXiv 2112.10752), section 3.
"""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen.generators.pretrained import Pretrained
from dpgen.generators.training.public import PRINT_TO_HAND, train
from dpgen.mechanisms.context import RunContext
from dpgen.noise import RowRandom
from dpgen_plugins.diffusion.checkpoint import fitting, take_over, training_facts
from dpgen_plugins.diffusion.settings import AutoencoderSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

PHASE = "autoencoder"
SpaceName = Literal["pixel", "latent"]


@final
class Autoencoder(Space):
    """Convolutions down to codes `[codes, height / 2^halvings, width / 2^halvings]` and back; no image sees another."""

    def __init__(self, *, channels: int, codes: int, halvings: int, width: int) -> None:
        super().__init__()
        self.codes, self.halvings = codes, halvings
        down = [layer for _ in range(halvings) for layer in (*_block(width, width), nn.AvgPool2d(2))]
        self.encoder = nn.Sequential(
            *_block(channels, width), *down, *_block(width, width), nn.Conv2d(width, codes, 1), nn.Tanh()
        )
        up = [layer for _ in range(halvings) for layer in (nn.Upsample(scale_factor=2), *_block(width, width))]
        self.decoder = nn.Sequential(
            *_block(codes, width), *_block(width, width), *up, nn.Conv2d(width, channels, 3, padding=1)
        )

    def encode(self, images: Tensor) -> Tensor:
        """See `Space.encode`."""
        codes: Tensor = self.encoder(images * 2 - 1)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """See `Space.decode`."""
        return PIXELS.decode(self.decoder(codes))

    def code_shape(self, image: Shape) -> tuple[int, int, int]:
        """See `Space.code_shape`."""
        step = 2**self.halvings
        if image.height % step or image.width % step:
            raise InvalidValue(
                f"codes need sides that divide by {step}; found {image.height} x {image.width}. "
                "Change `data.size`, or use fewer `autoencoder.halvings`."
            )
        return self.codes, image.height // step, image.width // step


def _block(inside: int, outside: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(max(1, outside // 8), outside), nn.SiLU()


def fresh_space(name: SpaceName, settings: AutoencoderSettings, info: DatasetInfo, *, seed: int) -> Space:
    """The pixels, or an untrained autoencoder with public initial weights, frozen."""
    if name == "pixel":
        return PIXELS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        space = _untrained(settings, info.shape)
    return space.requires_grad_(False)


def public_space(
    name: SpaceName, settings: AutoencoderSettings, info: DatasetInfo, public: PublicDataset, context: RunContext
) -> Space:
    """The pixels, or an autoencoder of the public images; trained, or taken from `autoencoder.checkpoint`.

    A finished training is kept for a resumed run. Raises: what `fitting` raises for a checkpoint.
    """
    space = fresh_space(name, settings, info, seed=context.seed).to(context.device)
    if isinstance(space, Autoencoder):
        take_over(space, context.once(PHASE, lambda: _weights(space, settings, public, context)))
    return space.requires_grad_(False).eval()


def reused_space(settings: AutoencoderSettings, shape: Shape, public: PublicDataset | None = None) -> Autoencoder:
    """The autoencoder in `autoencoder.checkpoint`. Raises: what `fitting` raises."""
    assert settings.checkpoint is not None, "asked for where the setting is there"
    facts = _meaning(settings, shape)
    _, weights = fitting(settings.checkpoint, PHASE, settings=facts, training=settings, public=public)
    space = _untrained(settings, shape)
    take_over(space, weights)
    return space.requires_grad_(False)


def pretrained_autoencoder(space: Space, settings: AutoencoderSettings, shape: Shape) -> Pretrained:
    """A trained one, to be kept."""
    return Pretrained(
        part=PHASE,
        settings=_meaning(settings, shape),
        training=training_facts(settings),
        weights=space.state_dict(),
    )


def _weights(
    space: Autoencoder, settings: AutoencoderSettings, public: PublicDataset, context: RunContext
) -> dict[str, Tensor]:
    if settings.checkpoint is None:
        return train_autoencoder(space, public, settings, context)
    return reused_space(settings, public.shape, public).state_dict()


def _meaning(settings: AutoencoderSettings, shape: Shape) -> dict[str, Any]:
    """What its weights have their shape and meaning from."""
    return {"autoencoder": settings.model_dump(include={"codes", "halvings", "width"}), "shape": list(shape)}


def _untrained(settings: AutoencoderSettings, shape: Shape) -> Autoencoder:
    return Autoencoder(channels=shape.channels, codes=settings.codes, halvings=settings.halvings, width=settings.width)


def train_autoencoder(
    autoencoder: Autoencoder, public: PublicDataset, settings: AutoencoderSettings, context: RunContext
) -> dict[str, Tensor]:
    """Train it in place to undo its codes and noise on them; return the moving average of its weights.

    Privacy: none; it sees public images alone.
    """

    def inputs(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor, Tensor]:
        return images, settings.noise * random.normal(*autoencoder.code_shape(Shape(*images.shape[1:])))

    autoencoder.requires_grad_(True)
    return train(
        autoencoder,
        inputs,
        reconstruction_losses,
        public.images,
        public.labels,
        settings=settings,
        context=context,
        phase=PHASE,
        variation=PRINT_TO_HAND.times(settings.jitter) if settings.jitter else None,
    )


def reconstruction_losses(module: nn.Module, images: Tensor, noise: Tensor) -> Tensor:
    """The mean squared error of each image, in [-1, 1], decoded from its code plus `noise` (shaped like the code)."""
    assert isinstance(module, Autoencoder)
    decoded: Tensor = module.decoder(module.encode(images) + noise)
    return (decoded - (images * 2 - 1)).square().flatten(1).mean(1)
