"""A folder with one folder per class, image files inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from dpgen.data.decoding import OnCorrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels, declared_class_names
from dpgen.errors import DataError

METADATA = ("metadata.csv", "metadata.jsonl")
"""Lists that the Hugging Face Hub keeps beside class folders. They are no records; the folders say the classes."""


@final
class FolderSource(ImageSource):
    """Class folders are the owner's declaration of the classes; the files inside are the records.

    Classes are the folder names in the order of their code points, or `class_names` where the owner gives them in
    another order or declares a class that has no folder. A class folder may be empty. Files are taken class by class,
    by name; hidden files are ignored, every other file counts as an image, corrupt or not. Beside the class folders
    only the Hub's lists (`METADATA`) may lie, which are not read. A link may point to another place in the folder; one
    that leads out of it is refused, so that nobody's other files become records.
    """

    name = "folder"

    def __init__(self, folder: Path, *, class_names: Sequence[str] | None = None) -> None:
        self._folder = folder
        self._declared = declared_class_names(class_names)

    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders, or the declared names; no file inside is looked at."""
        if self._declared is not None and not self._folder.exists():
            return self._declared  # to price a run where its data is not; `load` refuses
        found = self._class_folders()
        if self._declared is None:
            if not found:
                raise DataError(
                    f"expected one folder per class in {self._folder}; found none. "
                    "Put each image into the folder of its class."
                )
            named = declared_class_names(found)
            assert named is not None
            return named
        if unknown := sorted(set(found) - set(self._declared)):
            raise DataError(
                f"expected class folders among the declared class_names; found {', '.join(map(repr, unknown))} in "
                f"{self._folder}. Declare them, or rename the folders."
            )
        return self._declared

    def nominal_records(self) -> int | None:
        """None: the owner declares it."""
        return None

    def native_shape(self) -> Shape | None:
        """None: only the images could tell."""
        return None

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every file of every class folder, class by class, by name."""
        self._class_folders()
        classes = self.class_names()
        files = [(label, path) for label, name in enumerate(classes) for path in self._files(name)]
        images = decode_all(
            ((_shown(path.relative_to(self._folder)), path) for _, path in files),
            count=len(files),
            shape=shape,
            on_corrupt=on_corrupt,
        )
        labels = np.array([label for label, _ in files], dtype=np.int64)
        return ImageTable(images, checked_labels(labels, len(classes), where=str(self._folder)), classes)

    def _class_folders(self) -> tuple[str, ...]:
        entries = [entry for entry in self._entries(self._folder) if entry.name not in METADATA]
        for entry in entries:
            if not entry.is_dir():
                raise DataError(
                    f"expected only class folders in {self._folder}; found the file {entry.name!r}. "
                    "Move it into the folder of its class, or away; spell Parquet files by a pattern: folder/*.parquet."
                )
        return tuple(entry.name for entry in entries)

    def _files(self, class_name: str) -> list[Path]:
        folder = self._folder / class_name
        entries = self._entries(folder) if folder.is_dir() else []
        for entry in entries:
            if not entry.is_file():  # also a pipe or a device, which reading could wait on for ever
                raise DataError(
                    f"expected only image files in {folder}; found {entry.name!r}, which is not a file. "
                    "Class folders hold no folders: move the images up, or away."
                )
        return entries

    def _entries(self, folder: Path) -> list[Path]:
        """What `folder` holds, by name, without hidden entries. Raises: `DataError` for a link out of the data."""
        root, entries = self._folder.resolve(), _visible(folder)
        for entry in entries:
            if entry.is_symlink() and not _target(entry).is_relative_to(root):
                raise DataError(
                    f"expected every image below {self._folder}; found {_shown(entry.relative_to(self._folder))}, a "
                    "link to another place. Copy what it points to into the folder, or remove it."
                )
        return entries


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, by name, without hidden entries. Raises: `DataError` when it is none or cannot be read."""
    try:
        found = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except (OSError, ValueError) as error:  # the latter for a null byte in the path
        raise DataError(
            f"expected a folder at {_shown(folder.absolute())}; found none that can be read "
            f"({type(error).__name__}). Check the path and its permissions."
        ) from None
    return sorted(found, key=lambda entry: entry.name)


def _target(link: Path) -> Path:
    """Where a link leads; one that leads in a circle stays where it is, and is no file."""
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        return link.absolute()


def _shown(path: Path) -> str:
    """A path for a message; control characters and bytes of no encoding are spelt out."""
    return str(path) if str(path).isprintable() else ascii(str(path))
