"""Data sets of single image files, in a folder or in a zip archive, with a list of what is what."""

from __future__ import annotations

import csv
import hashlib
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import final

import numpy as np

from dpgen.data.decoding import OnCorrupt, Undecoded, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageTable, checked_labels
from dpgen.data.sources.named.facts import NamedSet
from dpgen.data.sources.named.layouts import Layout
from dpgen.errors import DataError

Entry = tuple[str, int]
"""The name of an image file, and its label."""


class Store(ABC):
    """Files below one root."""

    @abstractmethod
    def names(self) -> list[str]:
        """Every file, by its path below the root, sorted."""

    @abstractmethod
    def text(self, name: str) -> str:
        """A text file. Raises: `KeyError` or `OSError` where there is none."""

    @abstractmethod
    def image(self, name: str) -> Undecoded:
        """An image file, not yet decoded."""


@final
class FolderStore(Store):
    """A folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Without hidden files."""
        found = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if not path.name.startswith("."))

    def text(self, name: str) -> str:
        """As UTF-8."""
        return (self._root / name).read_text(encoding="utf-8")

    def image(self, name: str) -> Undecoded:
        """The path."""
        return self._root / name


@final
class ZipStore(Store):
    """A zip archive; nothing is extracted."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> list[str]:
        """Without folders."""
        return sorted(name for name in self._archive.namelist() if not name.endswith("/"))

    def text(self, name: str) -> str:
        """As UTF-8."""
        return self._archive.read(name).decode()

    def image(self, name: str) -> Undecoded:
        """The bytes."""
        return self._archive.read(name)


@final
class ListedLayout(Layout):
    """Images in a zip archive `archive`, or in a folder `root`; `entries` lists those of a part.

    `beside` are further files that must lie in the set's own folder, such as lists of labels; `entries` gets a store of
    that folder too.
    """

    def __init__(
        self,
        facts: NamedSet,
        entries: Callable[[Store, Store, bool], Sequence[Entry]],
        *,
        archive: str | None,
        roots: tuple[str, ...],
        test_roots: tuple[str, ...] | None = None,
        beside: tuple[str, ...] = (),
    ) -> None:
        self._facts, self._entries = facts, entries
        self._archive, self._beside = archive, beside
        self._roots = {True: roots, False: roots if test_roots is None else test_roots}

    def expected(self, *, train: bool) -> str:
        """The archive, or the first folder, and what lies beside."""
        main = self._archive or f"{self._roots[train][0]}/"
        return " and ".join(f"{self._facts.name}/{name}" for name in (main, *self._beside))

    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """The archive or the folder, in the set's own folder; then what lies beside."""
        own = folder / self._facts.name
        beside = tuple(own / name for name in self._beside)
        places = [own / root for root in self._roots[train] if (own / root).is_dir()]
        if self._archive is not None and (own / self._archive).is_file():
            places.append(own / self._archive)
        return (places[0], *beside) if places and all(path.is_file() for path in beside) else None

    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every listed image, in the order of the list."""
        facts, place = self._facts, files[0]
        with _opened(place) as store:
            try:
                listed = self._entries(store, FolderStore(place.parent), train)
            except (KeyError, ValueError, IndexError, OSError) as error:
                raise DataError(
                    f"expected the lists of {facts.title} in {place.parent}; they cannot be read "
                    f"({type(error).__name__}). Fetch the files again."
                ) from None
            labels = checked_labels(
                np.array([label for _, label in listed], np.int64), len(facts.class_names), where=facts.title
            )
            named = ((name, _image(store, name)) for name, _ in listed)
            images = decode_all(named, count=len(listed), shape=shape, on_corrupt=on_corrupt)
        return ImageTable(images, labels, facts.class_names)


@contextmanager
def _opened(place: Path) -> Iterator[Store]:
    if place.is_dir():
        yield FolderStore(place)
        return
    try:
        archive = zipfile.ZipFile(place)
    except (OSError, zipfile.BadZipFile):
        raise DataError(
            f"expected a whole zip archive; found {place.name}, which is damaged. Remove it and fetch it again."
        ) from None
    with archive:
        yield ZipStore(archive)


def _image(store: Store, name: str) -> Undecoded:
    """None for an image that an archive lacks or holds damaged: decoding then refuses it by name."""
    try:
        return store.image(name)
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        return None


def eurosat(images: Store, _: Store, train: bool) -> Sequence[Entry]:
    """Class folders; the test part is the first 4,000 by the SHA-256 of the name, a public and even choice."""
    from dpgen.data.sources.named.facts import NAMED

    facts = NAMED["eurosat"]
    found = [(name, PurePosixPath(name).parent.name) for name in images.names()]
    listed = [(name, facts.class_names.index(folder)) for name, folder in found if folder in facts.class_names]
    listed.sort(key=lambda entry: hashlib.sha256(PurePosixPath(entry[0]).name.encode()).digest())
    cut = len(listed) * 4 // 27  # 4,000 of all 27,000
    return listed[cut:] if train else listed[:cut]


def celeba_male(images: Store, beside: Store, train: bool) -> Sequence[Entry]:
    """The attribute Male by list_attr_celeba.txt; partitions 0 and 2 of list_eval_partition.txt."""
    part = "0" if train else "2"
    lines = beside.text("list_attr_celeba.txt").splitlines()
    column = lines[1].split().index("Male") + 1
    male = {row[0]: int(row[column] == "1") for row in (line.split() for line in lines[2:]) if row}
    chosen = (line.split() for line in beside.text("list_eval_partition.txt").splitlines())
    names = {PurePosixPath(name).name: name for name in images.names()}
    return [(names[row[0]], male[row[0]]) for row in chosen if row and row[1] == part]


def camelyon(images: Store, _: Store, train: bool) -> Sequence[Entry]:
    """Training: split 0 of the hospitals but 1 and 2; test: hospital 2. As in WILDS."""
    rows = csv.DictReader(images.text("metadata.csv").splitlines())
    listed = []
    for row in rows:
        centre = int(row["center"])
        if (centre == 2) if not train else (centre not in (1, 2) and int(row["split"]) == 0):
            node = f"patient_{int(row['patient']):03d}_node_{row['node']}"
            listed.append((f"patches/{node}/patch_{node}_x_{row['x_coord']}_y_{row['y_coord']}.png", int(row["tumor"])))
    return listed


def tiny_imagenet(images: Store, _: Store, train: bool) -> Sequence[Entry]:
    """Training: folders of WordNet ids, mixed by the SHA-256 of the name; test: the labelled validation part."""
    from dpgen.data.sources.named.facts import NAMED

    places = {name.split()[0]: label for label, name in enumerate(NAMED["tiny_imagenet"].class_names)}
    names = [name for name in images.names() if name.endswith(".JPEG")]
    if train:
        listed = [(name, places[PurePosixPath(name).name.split("_")[0]]) for name in names if "train/" in name]
        return sorted(listed, key=lambda entry: hashlib.sha256(PurePosixPath(entry[0]).name.encode()).digest())
    whole = {PurePosixPath(name).name: name for name in names if "val/" in name}
    root = "tiny-imagenet-200/" if any(name.startswith("tiny-imagenet-200/") for name in names) else ""
    lines = (line.split() for line in images.text(f"{root}val/val_annotations.txt").splitlines())
    return [(whole[row[0]], places[row[1]]) for row in lines if row]


def places365(images: Store, beside: Store, train: bool) -> Sequence[Entry]:
    """The lists that the authors publish; in that of the training part names begin with a stroke."""
    lines = beside.text("places365_train_standard.txt" if train else "places365_val.txt").splitlines()
    return [(row[0].lstrip("/"), int(row[1])) for row in (line.split() for line in lines) if row]
