"""The made-up data of every check: 24 private records, their neighbours, and a public set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.data.datasets import ArrayRecords, PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.mechanisms.base import Records
from dpgen.testing.toy import toy_images

RECORDS: Final = 24
OUTLIER: Final = RECORDS - 1
"""The one bright image, and the only one of its class."""
ORDINARY: Final = 5
CANARY: Final = 7919
"""A label and an id that no message may quote."""

TOY_INFO: Final = DatasetInfo(Shape(1, 8, 8), ("low", "middle", "high"), nominal_records=RECORDS)
"""What is declared about the private data of all checks: build mechanisms for it."""


@dataclass(frozen=True)
class Pair:
    """Two neighbouring data sets, and what makes them differ."""

    name: str
    relation: NeighboringRelation
    first: ArrayRecords
    second: ArrayRecords


def toy_records(*, bright: bool = True) -> ArrayRecords:
    """Dim images of two classes and one bright image, alone in the third; or a grey one of the first class instead.

    A maximum, a set of classes or a mean over the data changes by much when that record goes: faults show.
    """
    pixels, labels = toy_images(RECORDS, classes=2)
    images = torch.from_numpy(pixels // 2).permute(0, 3, 1, 2).contiguous()
    classes = torch.from_numpy(labels)
    images[OUTLIER], classes[OUTLIER] = (255, 2) if bright else (128, 0)
    return ArrayRecords(images, classes)


def only(record: int | None) -> ArrayRecords:
    """The one record of this id, or none at all."""
    images, labels = toy_records().batch(np.arange(RECORDS))
    keep = torch.arange(RECORDS) == (-1 if record is None else record)
    return ArrayRecords((images[keep] * 255).round().to(torch.uint8), labels[keep], np.flatnonzero(keep.numpy()))


def single_class() -> ArrayRecords:
    """The records of the first class."""
    images, labels = toy_records().batch(np.arange(RECORDS))
    keep = labels == 0
    return ArrayRecords((images[keep] * 255).round().to(torch.uint8), labels[keep])


def pairs() -> tuple[Pair, ...]:
    """Neighbours under both relations, in both directions, down to the empty set."""
    full, fewer = toy_records(), toy_records().without(OUTLIER)
    return (
        Pair("without an ordinary record", ADD_OR_REMOVE_ONE, full, toy_records().without(ORDINARY)),
        Pair("without the only record of its class", ADD_OR_REMOVE_ONE, full, fewer),
        Pair("with one record more", ADD_OR_REMOVE_ONE, fewer, full),
        Pair("without its last record", ADD_OR_REMOVE_ONE, only(ORDINARY), only(None)),
        Pair("with another record in the place of one", REPLACE_ONE, full, toy_records(bright=False)),
    )


def public_images() -> PublicDataset:
    """Thirty public images of five classes."""
    pixels, labels = toy_images(30, classes=5, seed=1)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return PublicDataset("toy public", images, torch.from_numpy(labels), ("v", "w", "x", "y", "z"))


class MislabelledRecords(Records):
    """The toy records and one with the id and the label `CANARY`, which no class has: what errors might quote."""

    def __init__(self) -> None:
        self._honest = toy_records()

    @property
    def ids(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Those of the toy records, then `CANARY`."""
        return np.append(self._honest.ids, CANARY)

    def batch(self, ids: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of the given ids."""
        wrong = np.asarray(ids) == CANARY
        images, labels = self._honest.batch(np.where(wrong, OUTLIER, ids))
        return images, torch.where(torch.from_numpy(wrong), CANARY, labels)
