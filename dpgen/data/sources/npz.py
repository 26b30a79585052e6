"""NumPy archives: arrays `images`, `labels` and, if wished, `class_names`."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpgen.data.decoding import OnCorrupt, check_on_corrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels, declared_class_names
from dpgen.data.sources.sizes import check_claims
from dpgen.errors import DataError, DpgenError

_ENDS = {b"PK\x05\x06": slice(8, 12), b"PK\x06\x06": slice(36, 44)}
"""The marks that begin the records at an archive's end (the second for large ones), and where, behind the mark, each
states the size of the directory. Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 and 4.3.16."""
_LARGEST_DIRECTORY = 2**16
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile bounds what it inflates at once for these alone


@final
class NpzSource(ImageSource):
    """One `.npz` file; pickled content is refused, nothing is extracted, and no array is larger than the file allows.

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
            if "class_names.npy" not in archive.namelist():
                raise DataError(
                    f"expected an array class_names in {self._path.name}; found none. "
                    "Declare class_names (`data.classes` in a configuration), in the order of the labels."
                )
            names = declared_class_names(self._array(archive, "class_names").tolist())
        assert names is not None
        return names

    def nominal_records(self) -> int | None:
        """None: the owner declares it."""
        return None

    def native_shape(self) -> Shape | None:
        """Channels, height and width by the header of `images`, whose values are not read."""
        with self._archive() as archive:
            height, width, *channels = self._image_axes(archive)[1:]
        return Shape(1 if channels in ([], [1]) else 3, height, width)

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every image, in order."""
        check_on_corrupt(on_corrupt)
        classes, name = self.class_names(), self._path.name
        with self._archive() as archive:
            count = self._image_axes(archive)[0]
            self._check_claims(archive, records=count, in_memory=count * math.prod(shape))
            labels = self._array(archive, "labels")
            if labels.shape != (count,):
                raise DataError(f"expected one label per image in {name}; found another number. Mend the labels.")
            checked = checked_labels(labels, len(classes), where=name)
            images = self._array(archive, "images")
        named = ((f"{name} image {i}", image) for i, image in enumerate(images))
        return ImageTable(decode_all(named, count=count, shape=shape, on_corrupt=on_corrupt), checked, classes)

    def _image_axes(self, archive: zipfile.ZipFile) -> tuple[int, ...]:
        """Count, height, width and, where there is such an axis, channels. Raises: `DataError` for other arrays."""
        axes, dtype = self._header(archive, "images")
        size = axes[1:]
        channels_fit = len(size) == 2 or (len(size) == 3 and size[2] in (1, 3, 4))
        if not channels_fit or 0 in size or not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
            raise DataError(
                f"expected images [n, h, w] or [n, h, w, channels], uint8 or floating point, in {self._path.name}; "
                f"found {dtype}, {list(size)} behind the first axis. Store another layout."
            )
        return axes

    def _header(self, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of an array. Raises: `DataError` when there is none, or it claims more than its file holds."""
        member = f"{name}.npy"
        if member not in archive.namelist():
            raise DataError(f"expected an array {name} in {self._path.name}; found none. Add it.")
        with archive.open(member) as file:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
            claimed, held = math.prod(shape) * dtype.itemsize, archive.getinfo(member).file_size - file.tell()
        if dtype.hasobject or min(shape, default=0) < 0 or claimed != held:
            raise ValueError("a pickle, or a header that does not fit the array")
        self._check_claims(archive, records=0, in_memory=claimed)
        return shape, dtype

    def _array(self, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
        self._header(archive, name)
        with archive.open(f"{name}.npy") as file:
            array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
            file.read(1)  # at the end of a member zipfile checks its sum
        return array

    def _check_claims(self, archive: zipfile.ZipFile, *, records: int, in_memory: int) -> None:
        on_disk = sum(member.compress_size for member in archive.infolist())
        on_disk = min(on_disk, self._path.stat().st_size)
        check_claims(records=records, in_memory=in_memory, on_disk=on_disk, where=self._path.name)

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        """The archive, open. A hostile one can make zipfile and NumPy raise anything, in words that may quote it."""
        try:
            with self._path.open("rb") as file:
                _refuse_long_directory(file)
                with zipfile.ZipFile(file) as archive:
                    if any(member.compress_type not in _COMPRESSIONS for member in archive.infolist()):
                        raise ValueError("another compression than NumPy's")
                    yield archive
        except DpgenError:
            raise
        except Exception:
            raise DataError(
                f"expected a readable .npz file without pickled objects; found {self._path.name}, which is not. "
                "Write it again with numpy.savez."
            ) from None


def _refuse_long_directory(file: BinaryIO) -> None:
    """`ValueError` for an archive of thousands of members, which zipfile would list before anyone can ask."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 128))  # the records and the longest comment
    tail = file.read()
    for mark, place in _ENDS.items():
        if mark in tail and int.from_bytes(tail.rpartition(mark)[2][place], "little") > _LARGEST_DIRECTORY:
            raise ValueError("a directory of thousands of members")
    file.seek(0)
