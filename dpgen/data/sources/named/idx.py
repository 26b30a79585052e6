"""MNIST's own format, IDX, plain or gzipped; EMNIST keeps many such files in one zip archive.

Source: yann.lecun.com/exdb/mnist: two zero bytes, the type of a value (8: unsigned byte), the number of axes, each axis
as four bytes, most significant first, then the values.
"""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dpgen.data.decoding import OnCorrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageTable, checked_labels
from dpgen.data.sources.named.facts import NamedSet
from dpgen.data.sources.named.layouts import Layout
from dpgen.errors import DataError

MOST_BYTES = 2**30
"""An IDX file may claim no more: the largest published one holds 0.6 GB."""

_UNSIGNED_BYTE = 8


@final
class IdxLayout(Layout):
    """A file of images and one of labels for each part, with or without .gz.

    Args: `folders` below the folder of data sets, in the order in which they are looked at; `stems` the names of the
    files of images and of labels, for the training part and for the test part.
    """

    def __init__(
        self, facts: NamedSet, *, folders: tuple[str, ...], train: tuple[str, str], test: tuple[str, str]
    ) -> None:
        self._facts, self._folders, self._stems = facts, folders, {True: train, False: test}

    def expected(self, *, train: bool) -> str:
        """The gzipped files in the first folder."""
        return " and ".join(f"{self._folders[0]}/{stem}.gz" for stem in self._stems[train])

    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """The first folder that holds both files."""
        for place in self._folders:
            found = [_plain_or_gzipped(folder / place / stem) for stem in self._stems[train]]
            if all(found):
                return tuple(path for path in found if path is not None)
        return None

    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every image, in order."""
        images, labels = (read_idx(_content(path), where=path.name) for path in files)
        return table(self._facts, images, labels, shape, on_corrupt)


@final
class EmnistLayout(Layout):
    """The archive `gzip.zip` of EMNIST, whose images lie on their side and whose letters count from 1."""

    def __init__(self, facts: NamedSet) -> None:
        self._facts = facts

    def expected(self, *, train: bool) -> str:
        """The archive."""
        return f"{self._facts.name}/gzip.zip"

    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """The archive."""
        path = folder / self._facts.name / "gzip.zip"
        return (path,) if path.is_file() else None

    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every letter, in order, upright."""
        stem = f"gzip/emnist-letters-{'train' if train else 'test'}"
        images, labels = (
            read_idx(_member(files[0], f"{stem}-{kind}-ubyte.gz"), where=kind)
            for kind in ("images-idx3", "labels-idx1")
        )
        return table(self._facts, images.transpose(0, 2, 1), labels.astype(np.int64) - 1, shape, on_corrupt)


def read_idx(content: bytes, *, where: str) -> NDArray[np.uint8]:
    """The array in an IDX file. Raises: `DataError` when the header is no IDX header or does not fit what follows."""
    axes: tuple[int, ...] = ()
    if len(content) >= 4 and content[:3] == bytes((0, 0, _UNSIGNED_BYTE)) and len(content) >= 4 + 4 * content[3]:
        axes = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(content[3]))
    start = 4 + 4 * len(axes)
    if not axes or len(content) - start != math.prod(axes):
        raise DataError(
            f"expected an IDX file of unsigned bytes; found {where}, whose header does not fit. Fetch the file again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(axes)


def table(
    facts: NamedSet, images: NDArray[np.uint8], labels: NDArray[Any], shape: Shape, on_corrupt: OnCorrupt
) -> ImageTable:
    """Arrays `[n, h, w]` or `[n, h, w, c]` and labels `[n]` as a table. Raises: `DataError` when they do not match."""
    if images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise DataError(f"expected one label per image in {facts.title}; found other arrays. Fetch the files again.")
    checked = checked_labels(labels, len(facts.class_names), where=facts.title)
    named = ((f"{facts.name} {row}", image) for row, image in enumerate(images))
    return ImageTable(
        decode_all(named, count=len(images), shape=shape, on_corrupt=on_corrupt), checked, facts.class_names
    )


def _plain_or_gzipped(path: Path) -> Path | None:
    gzipped = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else gzipped if gzipped.is_file() else None


def _content(path: Path) -> bytes:
    return _read(lambda: path.open("rb"), path.name, gzipped=path.suffix == ".gz")


def _member(archive: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            return _read(lambda: opened.open(name), f"{archive.name} ({name})", gzipped=True)
    except (zipfile.BadZipFile, KeyError, OSError, NotImplementedError) as error:
        raise _unreadable(archive.name, error) from None


def _read(open_it: Callable[[], Any], where: str, *, gzipped: bool) -> bytes:
    """At most `MOST_BYTES`, so that a small file cannot fill the memory."""
    try:
        with open_it() as raw:
            content = bytes((gzip.GzipFile(fileobj=raw) if gzipped else raw).read(MOST_BYTES + 1))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise _unreadable(where, error) from None
    if len(content) > MOST_BYTES:
        raise DataError(
            f"expected an IDX file of at most {MOST_BYTES} bytes; {where} holds more. Fetch the file again."
        )
    return content


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(
        f"expected a whole file; {where} cannot be read ({type(error).__name__}). Remove it and fetch it again."
    )
