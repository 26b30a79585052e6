"""The semantic query of PrivImage: which public classes do the private images of each class resemble?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dpgen.accountants.calibration.split import Part
from dpgen.budget import NeighboringRelation
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.events import DpEvent
from dpgen.generators.training.private import charged_part
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen_plugins.diffusion.query_network import QueryNetwork
from dpgen_plugins.diffusion.settings import QuerySettings

LABEL = "semantic-query"


def query_rows(settings: QuerySettings, info: DatasetInfo) -> tuple[str, ...]:
    """The names of the histogram's rows."""
    return info.class_names if settings.scope == "class" else ("all classes",)


def taken_per_row(settings: QuerySettings, info: DatasetInfo, public_classes: int) -> int:
    """Public classes that one row of the histogram takes: `classes_per_class`, or a share of all that there are.

    Source of the share: DPImageBench's k = int(public classes * ratio / private classes).
    Raises: `InvalidValue` when the share gives none.
    """
    private = 1 if settings.scope == "class" else info.classes
    if settings.ratio is None:
        return settings.classes_per_class * private
    taken = int(public_classes * settings.ratio / len(query_rows(settings, info)) + 1e-9)  # 0.1 * 30 is below 3
    if taken < 1:
        raise InvalidValue(
            f"query.ratio must leave a public class for each of {info.classes} private ones; found {settings.ratio} of "
            f"{public_classes}. Raise it, or set `query.classes_per_class`."
        )
    return taken


def query_event(votes: int, scale: float, relation: NeighboringRelation) -> DpEvent:
    """What the histogram with these settings costs, whatever its size."""
    return NoisyHistogram(cells=1, votes=votes, scale=scale, vote=_no_votes).event(relation)


def query_part(settings: QuerySettings, relation: NeighboringRelation) -> Part:
    """The query in a plan: the scale of its noise is solved from its share, or follows from its noise multiplier.

    One record moves `votes` counts by 1: an L2 norm of sqrt(votes), which the multiplier is a multiple of.
    """
    stated, norm = settings.noise_multiplier, math.sqrt(settings.votes)
    return charged_part(
        LABEL,
        lambda scale: query_event(settings.votes, scale, relation),
        budget_share=settings.budget_share,
        noise_multiplier=None if stated is None else stated * norm,
    )


def noise_note(settings: QuerySettings, info: DatasetInfo, scale: float) -> str:
    """For a plan: how far the noise is from drowning the votes, from declared numbers alone."""
    row = "an average class" if settings.scope == "class" else "all classes"
    voters = info.nominal_records / len(query_rows(settings, info))
    votes = f"{settings.votes} vote{'s' if settings.votes > 1 else ''}"
    return (
        f"the query counts {votes} of each of {voters:.4g} images of {row}, "
        f"with noise of deviation {scale:.4g} on each count"
    )


@dataclass(frozen=True)
class TopClassVotes:
    """Each image votes for the `votes` public classes that the network finds likeliest, in its own class's row.

    Not `by_class`: in the one row that all images share.
    """

    network: QueryNetwork
    votes: int
    by_class: bool = True

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cells `row * public classes + public class`, int64 `[n, votes]`."""
        likeliest = self.network.scores(images).topk(self.votes, dim=1).indices
        return labels[:, None] * self.network.classes + likeliest if self.by_class else likeliest


def _no_votes(images: Tensor, labels: Tensor) -> Tensor:
    return torch.empty((len(images), 0), dtype=torch.int64)
