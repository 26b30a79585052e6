"""NumPy archives: arrays `images`, `labels` and, if wished, `class_names`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpgen.data.decoding import OnCorrupt, check_on_corrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels, declared_class_names
from dpgen.errors import DataError


@final
class NpzSource(ImageSource):
    """One `.npz` file; pickled content is refused.

    `images` is `[n, h, w]` or `[n, h, w, channels]`, uint8 or floating point in [0, 1] (an image with any other value
    is corrupt); `labels` is `[n]`, integers; `class_names` is `[classes]`, text, and may be declared instead.
    """

    name = "npz"

    def __init__(self, path: Path, *, class_names: Sequence[str] | None = None) -> None:
        self._path = path
        self._declared = declared_class_names(class_names)

    def class_names(self) -> tuple[str, ...]:
        """The declared names, else the array `class_names` of the file; no other array is read."""
        if self._declared is not None:
            return self._declared
        with self._archive() as archive:
            if "class_names" not in archive:
                raise DataError(
                    f"expected an array class_names in {self._path.name}; found none. "
                    "Declare class_names, in the order of the labels."
                )
            names = declared_class_names(archive["class_names"].tolist())
        assert names is not None
        return names

    def nominal_records(self) -> int | None:
        """None: the owner declares it."""
        return None

    def native_shape(self) -> Shape | None:
        """Channels, height and width by the header of `images`, whose values are not read."""
        _, *size = self._header("images")
        channels = 1 if len(size) == 2 or size[2] == 1 else 3
        return Shape(channels, size[0], size[1])

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every image, in order."""
        check_on_corrupt(on_corrupt)
        classes = self.class_names()
        self._header("images")
        with self._archive() as archive:
            images, labels = archive["images"], self._labels(archive)
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"expected one label per image in {self._path.name}; found another number. Mend the labels."
            )
        checked = checked_labels(labels, len(classes), where=self._path.name)
        named = ((f"{self._path.name} image {i}", image) for i, image in enumerate(images))
        return ImageTable(decode_all(named, count=len(images), shape=shape, on_corrupt=on_corrupt), checked, classes)

    def _labels(self, archive: Any) -> NDArray[Any]:
        if "labels" not in archive:
            raise DataError(f"expected an array labels in {self._path.name}; found none. Add it.")
        labels: NDArray[Any] = archive["labels"]
        return labels

    def _header(self, array: str) -> tuple[int, ...]:
        """The shape of an array of images, off its header."""
        with self._readable(), zipfile.ZipFile(self._path) as file:
            if f"{array}.npy" not in file.namelist():
                raise DataError(f"expected an array {array} in {self._path.name}; found none. Add it.")
            with file.open(f"{array}.npy") as member:
                read = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
                shape: tuple[int, ...] = read(member)[0]
        if len(shape) not in (3, 4) or 0 in shape[1:]:
            raise DataError(
                f"expected {array} [n, h, w] or [n, h, w, channels] in {self._path.name}; found {len(shape)} axes, "
                f"{list(shape[1:])} behind the first. Store another layout."
            )
        return shape

    @contextmanager
    def _archive(self) -> Iterator[Any]:
        with self._readable(), np.load(self._path, allow_pickle=False) as archive:
            yield archive

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What goes wrong inside NumPy or zipfile becomes one `DataError`; its words may quote the file."""
        try:
            yield
        except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
            raise DataError(
                f"expected a readable .npz file without pickled objects; found {self._path.name}, which is not. "
                "Write it again with numpy.savez."
            ) from None
