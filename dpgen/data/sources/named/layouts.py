"""The forms in which a named data set may lie in the folder of data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageTable
from dpgen.data.sources.named.facts import NamedSet
from dpgen.data.sources.parquet import ParquetSource


class Layout(ABC):
    """One form of the files of one data set."""

    @abstractmethod
    def expected(self, *, train: bool) -> str:
        """The names of the files of a part below the folder of data sets, for a message."""

    @abstractmethod
    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """The files of a part, or None where they are not all there."""

    @abstractmethod
    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every image of the part, in a fixed order. Raises: `DataError` as `ImageSource.load`."""


@final
class ParquetLayout(Layout):
    """dpgen's own: NAME-train.parquet, or NAME-train-*.parquet by name; NAME-test.parquet, or NAME-val.parquet.

    `alias` is another NAME that is accepted.
    """

    def __init__(self, facts: NamedSet, *, alias: str | None = None) -> None:
        self._facts = facts
        self._names = (facts.name,) if alias is None else (facts.name, alias)

    def expected(self, *, train: bool) -> str:
        """The first spelling."""
        return f"{self._facts.name}-{'train' if train else 'test'}.parquet"

    def find(self, folder: Path, *, train: bool) -> tuple[Path, ...] | None:
        """One file, else all that a pattern finds."""
        for name in self._names:
            for part in ("train",) if train else ("test", "val"):
                whole = folder / f"{name}-{part}.parquet"
                found = (whole,) if whole.is_file() else tuple(sorted(folder.glob(f"{name}-{part}-*.parquet")))
                if found:
                    return found
        return None

    def load(self, files: tuple[Path, ...], shape: Shape, *, train: bool, on_corrupt: OnCorrupt) -> ImageTable:
        """Every row of every file."""
        return ParquetSource(files, class_names=self._facts.class_names).load(shape, on_corrupt=on_corrupt)
