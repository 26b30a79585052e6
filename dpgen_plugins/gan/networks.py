"""The networks of a GAN as DP-SGD sees them: a discriminator that it trains, a generator that rides along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.data.info import DatasetInfo, Shape
from dpgen.networks.image_generator import ImageGenerator
from dpgen_plugins.gan.settings import DiscriminatorSettings, GeneratorSettings

_SLOPE: Final = 0.2
_GROUPS: Final = 4
_FIRST_DECAY: Final = 0.5
_SECOND_DECAY: Final = 0.99
_STABILITY: Final = 1e-8


@final
class Discriminator(nn.Module):
    """How real an image of a class looks: strided convolutions, group norm, and the class by projection.

    Every image is computed alone, so it may be trained by DP-SGD. The seed of `generator` gives the initial weights.
    Source: Miyato, Koyama 2018, cGANs with Projection Discriminator (arXiv 1802.05637), equation 3.
    """

    def __init__(self, shape: Shape, classes: int, *, width: int, halvings: int, generator: torch.Generator) -> None:
        validate.count(1, classes=classes, width=width, halvings=halvings)
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            self.maps = nn.Sequential(*_halving_layers(shape.channels, width, halvings))
            size = [-(-side // 2**halvings) for side in (shape.height, shape.width)]
            features = (width << (halvings - 1)) * size[0] * size[1]
            self.real = nn.Linear(features, 1)
            self.table = nn.Embedding(classes, features)
        nn.init.zeros_(self.table.weight)  # no class is known apart before training

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """One number per image in [0, 1], `[n]`: above 1 surely real, below -1 surely generated."""
        features = self.maps(2 * images - 1).flatten(1)
        score: Tensor = self.real(features).squeeze(1) + (self.table(labels) * features).sum(1)
        return score


def _halving_layers(channels: int, width: int, halvings: int) -> Iterator[nn.Module]:
    for level in range(halvings):
        wide = width << level
        yield nn.Conv2d(channels, wide, 5, stride=2, padding=2)
        if level:
            yield nn.GroupNorm(_GROUPS if wide % _GROUPS == 0 else 1, wide)
        yield nn.LeakyReLU(_SLOPE)
        channels = wide


@final
class Adversaries(nn.Module):
    """Both networks in one module, the discriminator trainable and the generator frozen.

    So DP-SGD keeps the generator, its average and the moments of its optimiser in its own checkpoints, without ever
    taking a gradient for them: they change in `descend` alone, by post-processing. Records are compared with `shown`,
    images `[classes, per class, channels, height, width]` of the generator that were made before any record of the step
    was read: batch norm, which mixes the images of a batch, never sees a private one.
    """

    shown: Tensor
    updates: Tensor

    def __init__(self, discriminator: Discriminator, generator: ImageGenerator, *, shape: Shape, shown: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator.requires_grad_(False).eval()
        self.moments = nn.ModuleDict()
        for name, parameter in generator.named_parameters():
            self.moments[name.replace(".", "/")] = _Moments(parameter)
        self.register_buffer("shown", torch.zeros(generator.classes, shown, *shape))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def show(self, draws: torch.Generator) -> None:
        """Make new images to compare records with; the running statistics of batch norm move along."""
        self.shown.copy_(images_by_class(self.generator, self.shown.shape[1], draws))

    def descend(self, gradients: Mapping[str, Tensor], *, learning_rate: float) -> None:
        """One step of Adam on the generator. `gradients` must not have seen a record but through noised weights.

        Source: Kingma, Ba 2015 (arXiv 1412.6980), algorithm 1.
        """
        self.updates += 1
        count = int(self.updates)
        with torch.no_grad():
            for name, parameter in self.generator.named_parameters():
                moments = self.moments[name.replace(".", "/")]
                assert isinstance(moments, _Moments)
                parameter.sub_(moments.direction(gradients[name], count), alpha=learning_rate)


@final
class _Moments(nn.Module):
    """Adam's two moving averages of the gradients of one parameter."""

    first: Tensor
    second: Tensor

    def __init__(self, parameter: Tensor) -> None:
        super().__init__()
        self.register_buffer("first", torch.zeros_like(parameter))
        self.register_buffer("second", torch.zeros_like(parameter))

    def direction(self, gradient: Tensor, count: int) -> Tensor:
        self.first.lerp_(gradient, 1 - _FIRST_DECAY)
        self.second.lerp_(gradient.square(), 1 - _SECOND_DECAY)
        second = self.second / (1 - _SECOND_DECAY**count)
        return self.first / (1 - _FIRST_DECAY**count) / (second.sqrt() + _STABILITY)


def inputs_of(generator: ImageGenerator, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Public random numbers and evenly dealt labels of `count` images, on the device of `generator`."""
    device = next(generator.parameters()).device
    labels = torch.arange(count, device=device) % generator.classes
    return torch.randn(count, generator.latent, generator=draws).to(device), labels


def images_by_class(generator: ImageGenerator, each: int, draws: torch.Generator) -> Tensor:
    """`[classes, each, channels, height, width]`, made as in training: batch norm by the batch, and it moves along."""
    generator.train()
    with torch.no_grad():
        images: Tensor = generator(*inputs_of(generator, generator.classes * each, draws))
    generator.eval()
    return images.reshape(each, generator.classes, *images.shape[1:]).transpose(0, 1)


def fresh_generator(settings: GeneratorSettings, info: DatasetInfo, generator: torch.Generator) -> ImageGenerator:
    """A generator with public initial weights drawn from `generator`."""
    shape = (info.shape.channels, info.shape.height, info.shape.width)
    return ImageGenerator(shape, info.classes, latent=settings.latent, width=settings.width, generator=generator)


def fresh_discriminator(
    settings: DiscriminatorSettings, info: DatasetInfo, generator: torch.Generator
) -> Discriminator:
    """A discriminator with public initial weights drawn from `generator`."""
    return Discriminator(
        info.shape, info.classes, width=settings.width, halvings=settings.halvings, generator=generator
    )
