"""Look for planted canaries in everything that a run wrote: one sighting is a leak."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dpgen.testing.canaries.forms import Array, arrays, contents
from dpgen.testing.canaries.planted import Canaries

_LARGEST_ZOOM: Final = 12
"""A sheet of samples shows every pixel as up to this many."""


@dataclass(frozen=True, slots=True, order=True)
class Sighting:
    """A canary of one `form` (count, text, pixels), seen `where`: a file, or a part of it, or a stream."""

    where: str
    form: str
    seen_as: str


def search_run(folder: Path, canaries: Canaries, *, streams: Mapping[str, str] | None = None) -> list[Sighting]:
    """Everything in `release/`, the logs in `internal/`, and `streams` by name (stdout, stderr, tracebacks).

    Checkpoints and scores in `internal/` are the owner's and hold private results by design; they are not searched.
    """
    files = [path for path in sorted((folder / "release").rglob("*")) if path.is_file()]
    files += sorted((folder / "internal").rglob("*.log"))
    found = {sighting for path in files for sighting in search_bytes(str(path), path.read_bytes(), canaries)}
    found |= {sighting for path in files for sighting in search_bytes(f"name of {path}", path.name.encode(), canaries)}
    for name, text in (streams or {}).items():
        found |= set(search_bytes(name, text.encode(), canaries))
    return sorted(found)


def search_bytes(name: str, data: bytes, canaries: Canaries) -> Iterator[Sighting]:
    """The sightings in `data` and in what is packed in it: raw, decimal, and decoded (npz, Parquet, PNG, tensors)."""
    for where, part in contents(name, data):
        for form, seen_as in (*_in_bytes(part, canaries), *_in_arrays(part, canaries)):
            yield Sighting(where, form, seen_as)


def _in_bytes(data: bytes, canaries: Canaries) -> Iterator[tuple[str, str]]:
    for text in canaries.texts:
        for encoding in ("utf-8", "utf-16-le"):
            if text.encode(encoding) in data:
                yield "text", encoding
    grouped = f"{canaries.count:,}"
    for written in {str(canaries.count), grouped, grouped.replace(",", "_"), grouped.replace(",", " ")}:
        # a number of its own: not a part of another one, nor of a digest
        if re.search(rb"(?<![0-9A-Za-z.,_])" + re.escape(written.encode()) + rb"(?![0-9A-Za-z,_])", data):
            yield "count", f"decimal {written!r}"
    for code in ("<q", ">q", "<d", ">d"):  # eight bytes: four of them would be met by chance in large files
        if struct.pack(code, canaries.count) in data:
            yield "count", f"raw {code}"
    if any(row in data for row in _rows(canaries)):
        yield "pixels", "raw"


def _in_arrays(data: bytes, canaries: Canaries) -> Iterator[tuple[str, str]]:
    for array in arrays(data):
        if bool((array == canaries.count).any()):
            yield "count", f"value of {array.dtype}"
        pixels = _eight_bit(array)
        for layout in (
            pixels,
            *(pixels[..., channel] for channel in range(pixels.shape[-1] if pixels.ndim > 2 else 0)),
        ):
            found = layout.tobytes()
            if any(row in found for row in _rows(canaries)):
                yield "pixels", f"decoded from {array.dtype}"
                break


def _eight_bit(array: Array) -> Array:
    """Values in [0, 1] as pixels, if they are such; every other array as near as bytes come."""
    if array.dtype.kind == "f":
        array = np.rint(np.nan_to_num(array.astype(np.float64)) * 255)
    return np.asarray(np.clip(array, 0, 255).astype(np.uint8))


def _rows(canaries: Canaries) -> Iterator[bytes]:
    """One row of each block, at every zoom: random pixels are not met by chance."""
    for block in canaries.blocks:
        for zoom in range(1, _LARGEST_ZOOM + 1):
            yield np.repeat(block[len(block) // 2], zoom).tobytes()
