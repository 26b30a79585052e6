"""`digits` and `digits_test`: scikit-learn's 1,797 handwritten digits of 8 x 8 grey pixels, split once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from dpgen.data.decoding import OnCorrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels

RECORDS = 1797
TEST_RECORDS = 360

_CLASS_NAMES = tuple("0123456789")
_INK_LEVELS = 16  # each pixel counts the inked ones among 4 x 4 scanned pixels


def split() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of `digits` (1,437) and of `digits_test` (360).

    Rows are put in the order of the SHA-256 of their number, and the first 360 are for testing: a public permutation
    that looks at no content and does not depend on the version of any library.
    """
    order = sorted(range(RECORDS), key=lambda row: hashlib.sha256(f"dpgen digits {row}".encode()).digest())
    return np.array(order[TEST_RECORDS:], dtype=np.int64), np.array(order[:TEST_RECORDS], dtype=np.int64)


class _EmbeddedDigits(ImageSource):
    """What the two parts share: everything but the rows."""

    _rows: ClassVar[NDArray[np.int64]]

    def class_names(self) -> tuple[str, ...]:
        """The ten digits."""
        return _CLASS_NAMES

    def nominal_records(self) -> int | None:
        """The published size of the part."""
        return len(self._rows)

    def native_shape(self) -> Shape | None:
        """8 x 8, grey."""
        return Shape(1, 8, 8)

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """The part, its 17 ink levels spread over 0..255."""
        from sklearn.datasets import load_digits  # takes a second to import: only when asked for

        data = load_digits()
        pixels = np.rint(data.images[self._rows] * (255 / _INK_LEVELS)).astype(np.uint8)
        named: Iterator[tuple[str, NDArray[np.uint8]]] = ((f"{self.name} {i}", p) for i, p in enumerate(pixels))
        images = decode_all(named, count=len(pixels), shape=shape, on_corrupt=on_corrupt)
        labels = checked_labels(data.target[self._rows], len(_CLASS_NAMES), where=self.name)
        return ImageTable(images, labels, _CLASS_NAMES)


@final
class Digits(_EmbeddedDigits):
    """The training part: 1,437 digits, the embedded private default."""

    name = "digits"
    _rows = split()[0]


@final
class DigitsTest(_EmbeddedDigits):
    """The other 360 digits, for the final score."""

    name = "digits_test"
    _rows = split()[1]
