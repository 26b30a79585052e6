"""CIFAR and downsampled ImageNet: batches of flat images, in archives or extracted folders.

CIFAR's binary version: records of one label byte (CIFAR-100: a coarse and a fine one) and 3,072 pixels, channel by
channel. The Python version and ImageNet32 hold pickles of the same, read by an unpickler that knows arrays alone.
Source: www.cs.toronto.edu/~kriz/cifar.html; patrykchrabaszcz.github.io/Imagenet32.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageTable
from dpgen.data.sources.named.facts import NamedSet
from dpgen.data.sources.named.idx import table
from dpgen.data.sources.named.layouts import Layout
from dpgen.errors import DataError

PIXELS = 3 * 32 * 32

_KNOWN = {
    *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
    *(("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")),
    *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
}
"""All that a pickle of arrays needs; anything else in one could run code."""


@dataclass(frozen=True, slots=True)
class Batches:
    """One form of the batches. `folder` is what the archive holds, and what extracting it gives."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label: str | int
    """Key of the labels in a pickle; in binary records the byte that holds them."""
    label_bytes: int = 0
    """Bytes before the pixels of a binary record; 0 for pickles."""
    first_label: int = 0
    test_archive: str | None = None
    """The archive of the test part, where it is another one."""

    def packed(self, *, train: bool) -> str:
        """The archive of a part."""
        return self.archive if train or self.test_archive is None else self.test_archive


@final
class BatchLayout(Layout):
    """The batches of one part, from the archive or from the folder that it was extracted to."""

    def __init__(self, facts: NamedSet, batches: Batches) -> None:
        self._facts, self._batches = facts, batches

    def expected(self, *, train: bool) -> str:
        """The archive, in the set's own folder."""
        return f"{self._facts.name}/{self._batches.packed(train=train)}"

    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """The archive or the extracted folder, in the set's own folder or beside it."""
        batches = self._batches
        for place in (folder / self._facts.name, folder):
            archive = place / batches.packed(train=train)
            if archive.is_file():
                return (archive,)
            files = tuple(place / batches.folder / name for name in (batches.train if train else batches.test))
            if all(file.is_file() for file in files):
                return files
        return None

    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every image of every batch, in order."""
        wanted = self._batches.train if train else self._batches.test
        packed = files[0].name == self._batches.packed(train=train)
        contents = _from_archive(files[0], wanted) if packed else _from_files(files)
        parts = [self._batch(content, name) for content, name in zip(contents, wanted, strict=True)]
        images = np.concatenate([pixels for pixels, _ in parts])
        labels = np.concatenate([label for _, label in parts])
        return table(self._facts, images, labels, shape, on_corrupt)

    def _batch(self, content: bytes, name: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Pixels `[n, 32, 32, 3]` and labels `[n]` from 0."""
        form = self._batches
        if form.label_bytes:
            assert isinstance(form.label, int)
            flat, labels = _records(content, form.label_bytes, form.label, name)
        else:
            flat, labels = _pickled(content, str(form.label), name)
        return flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels.astype(np.int64) - form.first_label


def _records(content: bytes, label_bytes: int, label: int, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    whole = np.frombuffer(content, np.uint8)
    if not len(whole) or len(whole) % (label_bytes + PIXELS):
        raise _damaged(name)
    rows = whole.reshape(-1, label_bytes + PIXELS)
    return rows[:, label_bytes:], rows[:, label]


def _pickled(content: bytes, label: str, name: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    try:
        found = _Arrays(io.BytesIO(content), encoding="latin1").load()
        flat, labels = np.asarray(found["data"]), np.asarray(found[label])
    except Exception:  # a hostile pickle raises anything, in words that may quote it
        raise _damaged(name) from None
    whole = flat.ndim == 2 and flat.shape[1] == PIXELS and flat.dtype == np.uint8
    if not whole or labels.shape != flat.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise _damaged(name)
    return flat, labels


class _Arrays(pickle.Unpickler):
    """Refuses everything but NumPy arrays, numbers, texts, lists and dicts."""

    def find_class(self, module: str, name: str) -> Any:
        """Only what arrays are made of."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError("not an array")
        return super().find_class(module, name)


def _from_files(files: Sequence[Path]) -> list[bytes]:
    try:
        return [file.read_bytes() for file in files]
    except OSError:
        raise _damaged(files[0].name) from None


def _from_archive(archive: Path, names: Sequence[str]) -> list[bytes]:
    """The members of these names, whatever folder of the archive holds them; nothing is extracted."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as packed:
                inside = {PurePosixPath(name).name: name for name in packed.namelist()}
                return [packed.read(inside[name]) for name in names]
        with tarfile.open(archive) as opened:
            members = {PurePosixPath(member.name).name: member for member in opened.getmembers() if member.isfile()}
            files = [opened.extractfile(members[name]) for name in names]
            return [file.read() for file in files if file is not None]
    except (OSError, KeyError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        raise _damaged(archive.name) from None


def _damaged(name: str) -> DataError:
    return DataError(
        f"expected batches of 32 x 32 images; found {name}, which is damaged. Remove it and fetch it again."
    )
