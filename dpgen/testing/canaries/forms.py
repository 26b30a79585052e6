"""The forms in which a canary may hide in some bytes: plain, as numbers, inside archives and pictures."""

from __future__ import annotations

import base64
import binascii
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Array = NDArray[Any]

_DATA_URL: Final = re.compile(rb"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")
_DEEPEST: Final = 4


def contents(name: str, data: bytes, *, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of `data` itself and of whatever is packed in it: archives, Parquet cells, data URLs."""
    yield name, data
    if depth == _DEEPEST:
        return
    for inner, part in _packed(data):
        yield from contents(f"{name} > {inner}", part, depth=depth + 1)


def arrays(data: bytes) -> Iterator[Array]:
    """The numbers that `data` is a file of: `.npy`, safetensors, a picture."""
    if data[:6] == b"\x93NUMPY":
        yield from _saved(data)
    elif data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        yield from _tensors(data)
    else:
        try:
            with Image.open(BytesIO(data)) as picture:
                yield np.asarray(picture)
        except (UnidentifiedImageError, OSError, ValueError):
            return


def _saved(data: bytes) -> Iterator[Array]:
    try:
        loaded = np.load(BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError):  # torn, or Python objects: those are never unpickled
        return
    if loaded.dtype.kind in "biuf":
        yield loaded


def _packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(BytesIO(data)):
        with zipfile.ZipFile(BytesIO(data)) as archive:
            for member in archive.namelist():
                yield member, archive.read(member)
    elif data[:4] == data[-4:] == b"PAR1":
        yield from _cells(data)
    for place, url in enumerate(_DATA_URL.finditer(data)):
        try:
            yield f"data URL {place}", base64.b64decode(url[1], validate=True)
        except binascii.Error:
            continue


def _cells(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The values of a Parquet file: bytes as they are, everything else as text."""
    from pyarrow import parquet

    for row, values in enumerate(parquet.read_table(BytesIO(data)).to_pylist()):
        for cell in _leaves(values):
            yield f"row {row}", cell if isinstance(cell, bytes) else str(cell).encode()


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _tensors(data: bytes) -> Iterator[Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        yield from load(data).values()
    except (SafetensorError, TypeError, KeyError):  # it only looked like one, or holds what numpy has not (bfloat16)
        return
