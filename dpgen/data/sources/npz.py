"""NumPy archives: arrays `images`, `labels` and, if wished, `class_names`."""

from __future__ import annotations

import zipfile
import zlib
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

_UNREADABLE = (OSError, ValueError, EOFError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error)


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
                    "Declare class_names (`data.classes` in a configuration), in the order of the labels."
                )
            names = declared_class_names(archive["class_names"].tolist())
        assert names is not None
        return names

    def nominal_records(self) -> int | None:
        """None: the owner declares it."""
        return None

    def native_shape(self) -> Shape | None:
        """Channels, height and width by the header of `images`, whose values are not read."""
        height, width, *channels = self._size()
        return Shape(1 if channels in ([], [1]) else 3, height, width)

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every image, in order."""
        check_on_corrupt(on_corrupt)
        classes = self.class_names()
        self._size()
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

    def _size(self) -> tuple[int, ...]:
        """Height, width and, where there is such an axis, channels. Raises: `DataError` for what holds no images."""
        shape, dtype = self._header()
        size = shape[1:]
        channels_fit = len(size) == 2 or (len(size) == 3 and size[2] in (1, 3, 4))
        if not channels_fit or 0 in size or not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
            raise DataError(
                f"expected images [n, h, w] or [n, h, w, channels], uint8 or floating point, in {self._path.name}; "
                f"found {dtype}, {list(size)} behind the first axis. Store another layout."
            )
        return size

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of `images`, off its header."""
        with self._readable(), zipfile.ZipFile(self._path) as file:
            if "images.npy" not in file.namelist():
                raise DataError(f"expected an array images in {self._path.name}; found none. Add it.")
            with file.open("images.npy") as member:
                read = npy.read_array_header_1_0 if npy.read_magic(member) == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(member)
        return shape, dtype

    @contextmanager
    def _archive(self) -> Iterator[Any]:
        # NumPy leaves a file that it opened itself, and then cannot read, open.
        with self._readable(), self._path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            yield archive

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What goes wrong inside NumPy or zipfile becomes one `DataError`; its words may quote the file."""
        try:
            yield
        except _UNREADABLE:
            raise DataError(
                f"expected a readable .npz file without pickled objects; found {self._path.name}, which is not. "
                "Write it again with numpy.savez."
            ) from None
