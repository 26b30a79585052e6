"""Training the generator: on the features of public images, if wanted, then on the released ones. All of it is free."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.mean_embedding import Embedding
from dpgen.mechanisms.context import RunContext
from dpgen.networks.embedding_matching import match_embedding
from dpgen.networks.image_generator import ImageGenerator
from dpgen_plugins.kernel.settings import ImageGeneratorSettings, MatchingSettings, PublicMatchingSettings

PRETRAIN: Final = "pretrain"
MATCH: Final = "match"
IMAGES_AT_ONCE: Final = 64


def fresh_generator(settings: ImageGeneratorSettings, info: DatasetInfo, *, seed_of: RunContext) -> ImageGenerator:
    """A generator with public initial weights."""
    return ImageGenerator(
        (info.shape.channels, info.shape.height, info.shape.width),
        info.classes,
        latent=settings.latent,
        width=settings.width,
        generator=seed_of.generator("image generator weights"),
    )


def pretrain(
    network: ImageGenerator,
    features: nn.Module,
    public: PublicDataset,
    class_names: tuple[str, ...],
    settings: PublicMatchingSettings,
    context: RunContext,
) -> None:
    """Match `network`, in place, to the features of public images; finished, it is kept for a resumed run."""

    def trained() -> dict[str, Tensor]:
        target = public_embedding(features, public, class_names, start=settings.labels, context=context)
        return _matched(network, features, target, settings, context, phase=PRETRAIN)

    network.load_state_dict(context.once(PRETRAIN, trained))


def match(
    network: ImageGenerator, features: nn.Module, released: Embedding, settings: MatchingSettings, context: RunContext
) -> None:
    """Match `network`, in place, to what was released; finished, it is kept for a resumed run."""
    train = partial(_matched, network, features, released, settings, context, phase=MATCH)
    network.load_state_dict(context.once(MATCH, train))


def public_embedding(
    features: nn.Module, public: PublicDataset, class_names: tuple[str, ...], *, start: str, context: RunContext
) -> Embedding:
    """What the release would be, were the public images that each class starts from its records; even shares."""
    sums = torch.zeros(len(public.class_names), 0)
    features, counts = features.to(context.device), torch.bincount(public.labels, minlength=len(public.class_names))
    with torch.no_grad():
        parts = zip(torch.split(public.images, IMAGES_AT_ONCE), torch.split(public.labels, IMAGES_AT_ONCE), strict=True)
        for images, labels in parts:
            rows = features(images.to(context.device).float() / 255).cpu()
            sums = sums if sums.shape[1] else torch.zeros(len(counts), rows.shape[1])
            sums.index_add_(0, labels, rows)
    members = starting_classes(public.class_names, class_names, start=start).to(sums)
    members = torch.where(members @ counts.to(sums)[:, None] > 0, members, 1.0)  # none of its images: all of them
    means = members @ sums / (members @ counts.to(sums))[:, None]
    shares = torch.full((len(class_names),), 1 / len(class_names))
    return Embedding(shares, means * shares[:, None])


def starting_classes(public: tuple[str, ...], private: tuple[str, ...], *, start: str) -> Tensor:
    """Which public classes each private class starts from, bool `[private classes, public classes]`.

    Class names are public facts, declared by the owner. `start` as `PublicMatchingSettings.labels`.
    """
    match start:
        case "first":
            rows = [[index % len(private) == own for index in range(len(public))] for own in range(len(private))]
        case "names":
            rows = [[name == own or own not in public for name in public] for own in private]
        case _:
            rows = [[True] * len(public)] * len(private)
    return torch.tensor(rows)


def _matched(
    network: ImageGenerator,
    features: nn.Module,
    target: Embedding,
    settings: MatchingSettings,
    context: RunContext,
    *,
    phase: str,
) -> dict[str, Tensor]:
    return match_embedding(
        network,
        features,
        target.sums,
        target.shares,
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        context=context,
        phase=phase,
        unbiased=True,
    )
