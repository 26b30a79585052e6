"""The semantic query of PrivImage: which public classes do the private images of each class resemble?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dpgen.budget import NeighboringRelation
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.events import DpEvent
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.networks.augment import WILD
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.training import train_classifier
from dpgen_plugins.diffusion.settings import QuerySettings

LABEL = "semantic-query"
CLASSIFIER_BATCH = 128


def query_rows(settings: QuerySettings, info: DatasetInfo) -> tuple[str, ...]:
    """The names of the histogram's rows."""
    return info.class_names if settings.scope == "class" else ("all classes",)


def taken_per_row(settings: QuerySettings, info: DatasetInfo) -> int:
    """Public classes that one row of the histogram takes."""
    return settings.classes_per_class * (1 if settings.scope == "class" else info.classes)


def query_event(votes: int, scale: float, relation: NeighboringRelation) -> DpEvent:
    """What the histogram with these settings costs, whatever its size."""
    return NoisyHistogram(cells=1, votes=votes, scale=scale, vote=_no_votes).event(relation)


def train_query_classifier(public: PublicDataset, settings: QuerySettings, context: RunContext) -> ImageClassifier:
    """A classifier of the public classes, trained on wildly deformed public images so that it knows other hands."""
    network = query_classifier(public, settings, context)
    return train_classifier(
        network,
        public.images,
        public.labels,
        steps=settings.classifier_steps,
        batch=CLASSIFIER_BATCH,
        generator=context.generator("semantic classifier batches"),
        augmentation=WILD.times(settings.jitter) if settings.jitter else None,
        progress=context.progress,
        phase="semantic classifier",
        device=context.device,
    )


def query_classifier(public: PublicDataset, settings: QuerySettings, context: RunContext) -> ImageClassifier:
    """The untrained classifier, with public initial weights."""
    return ImageClassifier(
        public.shape.channels,
        len(public.class_names),
        width=settings.classifier_width,
        generator=context.generator("semantic classifier weights"),
    )


@dataclass(frozen=True)
class TopClassVotes:
    """Each image votes for the `votes` public classes that the classifier finds likeliest, in its own class's row.

    Not `by_class`: in the one row that all images share.
    """

    network: ImageClassifier
    votes: int
    device: torch.device
    by_class: bool = True

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cells `row * public classes + public class`, int64 `[n, votes]`."""
        with torch.inference_mode():
            likeliest: Tensor = self.network.eval()(images.to(self.device)).topk(self.votes, dim=1).indices.cpu()
        return labels[:, None] * self.network.classes + likeliest if self.by_class else likeliest


def _no_votes(images: Tensor, labels: Tensor) -> Tensor:
    return torch.empty((len(images), 0), dtype=torch.int64)
