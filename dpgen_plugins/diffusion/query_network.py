"""Who tells the public classes apart in PrivImage's query: a classifier trained here, or a head on others' features.

All of it learns from public images alone, so it is free. The query is bounded whatever network votes, as long as it
looks at each image alone.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from dpgen.data.datasets import PublicDataset
from dpgen.errors import InvalidValue, SensitivityError, UnknownName
from dpgen.evaluation.extractor import FeatureExtractor, Setting
from dpgen.evaluation.recipe import Recipe
from dpgen.mechanisms.context import RunContext
from dpgen.networks.augment import PHOTOGRAPH, WILD, Augmentation
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.classifiers import CLASSIFIERS, build_classifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import to_unit_range
from dpgen.networks.training import train_classifier
from dpgen.plugins.registry import default_registry
from dpgen_plugins.diffusion.query_head import fit_head
from dpgen_plugins.diffusion.settings import QuerySettings

PHASE: Final = "query-network"
EMBEDDED_AT_ONCE: Final = 256
_ROUNDING: Final = 1e-3
"""Of the largest score: kernels for one image and for several may differ so much, TF32 included."""


class QueryNetwork(ABC):
    """Scores of the public classes for images; fixed before a private image is seen."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Of the public set."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A name and the SHA-256 of the weights: equal only for networks that vote alike."""

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """`[n, classes]` on the CPU, higher for a likelier class, of images `[n, channels, height, width]` in [0, 1].

        A row must come from its image alone: the bound of the query rests on that.
        """


@final
@dataclass(frozen=True)
class OwnClassifier(QueryNetwork):
    """One of `dpgen.networks.classifiers`, trained on the public set."""

    name: str
    network: Classifier
    device: torch.device

    @property
    def classes(self) -> int:
        """See `QueryNetwork.classes`."""
        return self.network.classes

    @property
    def identity(self) -> str:
        """The architecture and the SHA-256 of all its weights."""
        return f"{self.name}@{weights_digest(self.network)}"

    @torch.inference_mode()
    def scores(self, images: Tensor) -> Tensor:
        """See `QueryNetwork.scores`."""
        logits: Tensor = self.network.eval()(to_unit_range(images).to(self.device))
        return logits.cpu()


@final
@dataclass(frozen=True)
class HeadOnFeatures(QueryNetwork):
    """A linear head on the frozen features of a registered extractor, centred and brought to one scale."""

    extractor: FeatureExtractor
    head: Mapping[str, Tensor]
    """What `fit_head` returns."""

    @property
    def classes(self) -> int:
        """See `QueryNetwork.classes`."""
        return len(self.head["bias"])

    @property
    def identity(self) -> str:
        """That of the extractor, and the SHA-256 of the head."""
        digest = hashlib.sha256()
        for name in sorted(self.head):
            digest.update(name.encode() + self.head[name].numpy().tobytes())
        return f"{self.extractor.identity} with a head@{digest.hexdigest()}"

    def scores(self, images: Tensor) -> Tensor:
        """See `QueryNetwork.scores`."""
        features = torch.from_numpy(self.extractor(images)).float()
        standard = (features - self.head["mean"]) / self.head["deviation"]
        return standard @ self.head["weight"].T + self.head["bias"]


def require_query_network(settings: QuerySettings) -> None:
    """Refuse, before anything is opened, a network that there is not.

    Raises: `UnknownName` for a name that is neither a classifier nor a registered extractor, `InvalidValue` for a
    missing file of weights, and what the plugin of an extractor raises.
    """
    if settings.network in CLASSIFIERS:
        return
    registry = default_registry()
    if settings.network not in registry.feature_extractors():
        names = (*CLASSIFIERS, *registry.feature_extractors())
        raise UnknownName("query network", settings.network, names, "Set `query.network` to one of them.")
    registry.feature_extractor(settings.network)
    if settings.weights is not None and not Path(settings.weights).is_file():
        raise InvalidValue(f"query.weights must be a file; found none at {settings.weights!r}. Give its path.")


def query_network(public: PublicDataset, settings: QuerySettings, context: RunContext) -> QueryNetwork:
    """The network of the settings, ready to vote; what was trained for it is kept for a resumed run. Costs no privacy.

    Raises: `SensitivityError` for one whose scores of an image depend on the others; `DataError` from an extractor.
    """
    make = _own_classifier if settings.network in CLASSIFIERS else _head_on_features
    network = make(public, settings, context)
    require_images_alone(network, public)
    return network


def publish_identity(identity: str, context: RunContext) -> None:
    """Put `query_network.json` among the released files: who voted is public, and a repetition needs to know."""
    facts = {"query_network": {"identity": identity}}
    context.publish("query_network.json", (json.dumps(facts, indent=2) + "\n").encode())


def require_images_alone(network: QueryNetwork, public: PublicDataset) -> None:
    """Compare the scores of a few public images, together and one by one. Raises: `SensitivityError`."""
    images = public.images[torch.linspace(0, len(public.images) - 1, 4).long()].float() / 255
    together = network.scores(images)
    alone = torch.cat([network.scores(image[None]) for image in images])
    finite = together.isfinite() & alone.isfinite()
    gap = (together - alone)[finite].abs().max()
    if not torch.equal(together.isfinite(), alone.isfinite()) or gap > _ROUNDING * together[finite].abs().max():
        raise SensitivityError(
            f"the network of the query must look at every image alone; of {network.identity.split('@')[0]!r} the "
            "scores of a public image changed with those beside it. Take out batch statistics, or another network."
        )


def _own_classifier(public: PublicDataset, settings: QuerySettings, context: RunContext) -> QueryNetwork:
    """Trained on deformed public images, so that it knows what only resembles them."""
    network = build_classifier(
        settings.network,
        public.shape,
        len(public.class_names),
        width=settings.classifier_width,
        generator=context.generator("semantic classifier weights"),
    )

    def train() -> dict[str, Tensor]:
        trained = train_classifier(
            network,
            public.images,
            public.labels,
            steps=settings.classifier_steps,
            batch=settings.classifier_batch,
            generator=context.generator("semantic classifier batches"),
            augmentation=_deformation(settings, public.shape.channels),
            progress=context.progress,
            phase="semantic classifier",
            device=context.device,
            checkpoints=context.checkpoints,
        )
        return trained.state_dict()

    network.load_state_dict(context.once(PHASE, train))
    return OwnClassifier(settings.network, network.to(context.device).eval(), context.device)


def _head_on_features(public: PublicDataset, settings: QuerySettings, context: RunContext) -> QueryNetwork:
    extractor = (
        default_registry()
        .feature_extractor(settings.network)
        .build(
            Setting(
                shape=public.shape,
                public=public,
                weights=None if settings.weights is None else Path(settings.weights),
                recipe=Recipe.for_shape(public.shape),
                seed=context.seed,
                device=context.device,
                progress=context.progress,
            )
        )
    )

    def train() -> dict[str, Tensor]:
        rows = _spread_over_classes(public.labels, settings.head_images, context.generator("query head images"))
        features = _embedded(extractor, public.images[rows], settings, context)
        return fit_head(
            features,
            public.labels[rows],
            classes=len(public.class_names),
            kind=settings.head,
            steps=settings.classifier_steps,
            generator=context.generator("query head batches"),
        )

    return HeadOnFeatures(extractor, {name: t.cpu() for name, t in context.once(PHASE, train).items()})


def _embedded(extractor: FeatureExtractor, images: Tensor, settings: QuerySettings, context: RunContext) -> Tensor:
    """Features `[n, d]` float32 of public images, each deformed once."""
    deformation, draws = _deformation(settings, images.shape[1]), context.generator("query head deformations")
    parts = []
    with context.progress.track("query features", len(images)) as advance:
        for part in torch.split(images, EMBEDDED_AT_ONCE):
            shown = to_unit_range(part)
            shown = shown if deformation is None else deformation(shown, draws)
            parts.append(torch.from_numpy(extractor(shown)).float())
            advance(len(part))
    return torch.cat(parts)


def _deformation(settings: QuerySettings, channels: int) -> Augmentation | None:
    """Of grey images as far as handwriting goes, so that other hands are known; colour ones stay photographs."""
    return (WILD if channels == 1 else PHOTOGRAPH).times(settings.jitter) if settings.jitter else None


def _spread_over_classes(labels: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """At most `limit` rows, as many of each class as there are, up to one common number; at least one."""
    order = torch.randperm(len(labels), generator=generator)
    by_class = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels)
    place = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]  # within its class
    common = max(1, limit // int((counts > 0).sum()))
    return by_class[place < common]
