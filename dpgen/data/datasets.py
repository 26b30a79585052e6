"""The three data sets of a run: private (reached only through mechanisms), public, and synthetic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DataError
from dpgen.events import DpEvent
from dpgen.ledger import Ledger
from dpgen.mechanisms.base import Ids, Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.noise import NoiseSource

R = TypeVar("R")


class ArrayRecords(Records):
    """Records held in memory as 8-bit images.

    Args: `images` uint8 `[n, channels, height, width]`; `labels` int64 `[n]`; `ids` int64 `[n]`, default 0..n-1.
    """

    def __init__(self, images: Tensor, labels: Tensor, ids: Ids | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise DataError(
                f"expected uint8 images [n, channels, height, width]; found {images.dtype} {list(images.shape)[1:]} "
                "behind the first axis. Convert with `(images * 255).round().to(torch.uint8)`."
            )
        if labels.dtype != torch.int64 or labels.ndim != 1 or len(labels) != len(images):
            raise DataError("expected one int64 label per image; found another dtype or length. Give labels [n] int64.")
        self._images, self._labels = images, labels
        self._ids = np.arange(len(images), dtype=np.int64) if ids is None else np.asarray(ids, dtype=np.int64)
        if len(self._ids) != len(images) or (np.diff(self._ids) <= 0).any():
            raise DataError("expected one id per image, distinct and ascending; found others. Leave `ids` out.")
        self._rows = {int(i): row for row, i in enumerate(self._ids)} if ids is not None else None

    @property
    def ids(self) -> Ids:
        """The id of every record, ascending."""
        return self._ids

    def batch(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] and labels of the given ids."""
        rows = torch.from_numpy(
            np.asarray(ids, dtype=np.int64)
            if self._rows is None
            else np.fromiter((self._rows[int(i)] for i in ids), np.int64, len(ids))
        )
        return self._images[rows].float() / 255, self._labels[rows]

    def without(self, record: int) -> ArrayRecords:
        """The neighbouring records that lack the id `record`; all other ids stay."""
        keep = self._ids != record
        rows = torch.from_numpy(np.flatnonzero(keep))
        return ArrayRecords(self._images[rows], self._labels[rows], self._ids[keep])


class PrivateDataset:
    """A handle on private records. Its one data method is `release`; the records cannot be reached otherwise.

    The handle prevents mistakes, not malice: Python cannot stop code that goes looking for private attributes.
    """

    def __init__(
        self, records: Records, info: DatasetInfo, *, ledger: Ledger, noise: NoiseSource, context: RunContext
    ) -> None:
        self.info = info
        self._records, self._ledger, self._noise, self._context = records, ledger, noise, context

    def release(self, mechanism: Mechanism[R], *, label: str) -> R:
        """What `mechanism` measures, after its event was charged under `label`; the same in all processes of a run.

        Privacy: charges `mechanism.event(relation)` to the ledger first; when that is refused nothing is read. With
        several processes the first one's ledger is charged, and no process reads before that is on the disk.
        Raises: `BudgetExceeded`, `PlanMismatch`, `UnsupportedEvent` before anything is read.
        """
        world, relation = self._context.world, self._ledger.relation
        event = mechanism.event(relation)
        world.require_equal(f"charge under {label!r}", lambda: _digest(event, type(mechanism).__qualname__))
        occurrence = world.from_first(lambda: self._ledger.charge(event, label=label))
        noise = self._noise.under(f"{label}#{occurrence}")

        def measure(context: RunContext) -> R:
            return mechanism._measure(self._records, noise=noise, relation=relation, context=context)

        if mechanism.collective:
            return measure(self._context)
        # Once, not once in each process: two devices that round differently would make two releases with one noise.
        return world.from_first(lambda: measure(self._context.alone()))

    def __reduce__(self) -> str:
        raise TypeError("a PrivateDataset is bound to its ledger and cannot be pickled; open the data in each process")


def _digest(event: DpEvent, mechanism: str) -> str:
    return hashlib.sha256(json.dumps([mechanism, event.to_json()]).encode()).hexdigest()


@dataclass(frozen=True)
class PublicDataset:
    """Images that anyone may see.

    `images` uint8 `[n, channels, height, width]`, `labels` int64 `[n]` into `class_names`.
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images."""
        return Shape(*self.images.shape[1:])

    def where(self, classes: Sequence[int]) -> PublicDataset:
        """Only the images of these class indices; labels and names stay as they are."""
        keep = torch.isin(self.labels, torch.as_tensor(list(classes), dtype=torch.int64))
        return PublicDataset(self.name, self.images[keep], self.labels[keep], self.class_names)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class SyntheticDataset:
    """Generated images and their labels; post-processing of a release, so they may be given away.

    `images` float32 `[n, channels, height, width]` in [0, 1], `labels` int64 `[n]` into `class_names`.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)
