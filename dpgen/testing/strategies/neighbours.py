"""Neighbouring sets of images, hostile ones among them; shrinks towards the empty set plus one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.data.info import Shape
from dpgen.mechanisms.base import Ids, Records

SMALL: Final = Shape(1, 4, 4)

_EXTREMES: Final = (0.0, 1.0)
_HOSTILE: Final = (float("nan"), float("inf"), 1e30, -1e30)


class FloatRecords(Records):
    """Records in memory whose pixels are any float32, so that one can be an outlier or not a number."""

    def __init__(self, images: Tensor, labels: Tensor, ids: Ids) -> None:
        self._images, self._labels, self._ids = images, labels, ids

    @property
    def ids(self) -> Ids:
        """The id of every record."""
        return self._ids

    def batch(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Images and labels of the given ids."""
        rows = torch.from_numpy(np.searchsorted(self._ids, np.asarray(ids, dtype=np.int64)))
        return self._images[rows], self._labels[rows]


@dataclass(frozen=True)
class Neighbours:
    """Two neighbouring sets under `relation`; under add-or-remove-one `second` lacks the record `victim`."""

    first: FloatRecords
    second: FloatRecords
    relation: NeighboringRelation
    victim: int


@st.composite
def neighbours(
    draw: st.DrawFn,
    relation: NeighboringRelation,
    *,
    shape: Shape = SMALL,
    classes: int = 3,
    max_records: int = 12,
    finite: bool = True,
) -> Neighbours:
    """Pairs of 1 to `max_records` images: grey, black, white, alike, one pixel only; classes may be empty.

    Without `finite` some pixels are NaN, infinite or huge, as only a faulty decoder could make them: for mechanisms
    that promise to bound whatever they are given.
    """
    count = draw(st.integers(1, max_records))
    images = np.stack([draw(_images(shape, finite)) for _ in range(count)])
    if count > 1 and draw(st.booleans()):
        images[-1] = images[0]
    labels = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)), dtype=np.int64)
    ids = np.cumsum(draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))).astype(np.int64)
    row = draw(st.integers(0, count - 1))
    first = _records(images, labels, ids)
    if relation is REPLACE_ONE:
        images, labels = images.copy(), labels.copy()
        images[row], labels[row] = draw(_images(shape, finite)), draw(st.integers(0, classes - 1))
        return Neighbours(first, _records(images, labels, ids), relation, int(ids[row]))
    kept = np.arange(count) != row
    return Neighbours(first, _records(images[kept], labels[kept], ids[kept]), relation, int(ids[row]))


@st.composite
def _images(draw: st.DrawFn, shape: Shape, finite: bool) -> NDArray[np.float32]:
    """One image: flat, a single odd pixel on flat ground, or public-looking noise."""
    values = st.sampled_from(_EXTREMES if finite else (*_EXTREMES, *_HOSTILE)) | st.floats(0, 1, width=32)
    image = np.full(tuple(shape), draw(values), dtype=np.float32)
    if draw(st.booleans()):
        image.flat[draw(st.integers(0, image.size - 1))] = draw(values)
    elif draw(st.booleans()):
        image[:] = np.random.default_rng(draw(st.integers(0, 2**16))).random(image.shape, dtype=np.float32)
    return image


def _records(images: NDArray[np.float32], labels: NDArray[np.int64], ids: Ids) -> FloatRecords:
    return FloatRecords(torch.from_numpy(images.copy()), torch.from_numpy(labels.copy()), ids)
