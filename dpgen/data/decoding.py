"""The one place where a file, encoded bytes or an array becomes a canonical image: uint8 `[channels, height, width]`.

The rules are public and treat every record alone:
- Formats: PNG, JPEG, WebP, BMP, GIF, TIFF. Anything else, however Pillow would read it, is undecodable.
- At most `MAX_PIXELS` pixels and `MAX_BYTES` encoded bytes, judged before a pixel is decoded; a JPEG of many scans
  counts its pixels once per scan. So one image takes at most about half a GiB and, on one core, a second.
- A truncated file is undecodable.
- Of an animation the first frame counts. The EXIF orientation is applied.
- 16-bit grey is scaled to 8 bits; transparency is laid on white; palette, CMYK and the like become RGB.
- Grey is ITU-R 601 luma; RGB from grey repeats the channel.
- An image of the asked size passes through bit for bit. Another one is cropped at its centre to the asked aspect ratio,
  then resized with an antialiased Lanczos filter.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from dpgen.data.info import Shape
from dpgen.errors import DataError, InvalidValue, StorageError

Pixels = NDArray[np.uint8]

Undecoded = bytes | Path | NDArray[Any] | None
"""An encoded image, a file holding one, a raw array (uint8 or float in [0, 1], `[h, w]` or `[h, w, c]`), or nothing."""

OnCorrupt = Literal["refuse", "constant"]
"""What becomes of a load with undecodable images: one error that names them, or one constant image in place of each."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 2**24
MAX_BYTES = 2**27
MAX_SCANNED_PIXELS = 2**28
"""Pixels times scans of a JPEG: a progressive one is decoded once per scan, and a hostile one has thousands."""
CONSTANT = 128
"""Every value of the image that stands in for an undecodable one: mid-grey."""

_NAMED_AT_MOST = 5
_ORIENTATION = 0x0112  # EXIF tag
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_EIGHT_OF_SIXTEEN = ((np.arange(2**16, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)  # to the nearest
_START_OF_SCAN = b"\xff\xda"  # in the pixel data of a JPEG only as this marker: any other 0xff is followed by 0x00


def decode(source: Undecoded, shape: Shape) -> Pixels:
    """One image in its canonical form, uint8 `[channels, height, width]`.

    Raises: `DataError` when it cannot be decoded, with a reason that holds nothing of the content; `StorageError` when
    the file cannot be read or the memory does not suffice.
    """
    with _strict_pillow():
        return _decode(source, shape)


def decode_all(
    sources: Iterable[tuple[str, Undecoded]], *, count: int, shape: Shape, on_corrupt: OnCorrupt = "refuse"
) -> Tensor:
    """All images in their canonical form, uint8 `[count, channels, height, width]`.

    Args: `sources` gives `count` pairs (what the owner calls the image, the image).
    Nothing is ever skipped: leaving out a corrupt image would reveal, through the count, that it was there.
    Raises: `DataError` that says how many images are corrupt and names the first few; it is for the owner's eyes.
    `StorageError` when a file cannot be read or the memory does not suffice.
    """
    check_on_corrupt(on_corrupt)
    images, row, corrupt = _room(count, shape), -1, 0
    named: list[str] = []
    with _strict_pillow():
        for row, (name, source) in enumerate(sources):
            if row == count:
                break
            try:
                images[row] = _decode(source, shape)
            except DataError as reason:
                corrupt += 1
                if len(named) < _NAMED_AT_MOST:
                    named.append(f"{name} ({reason})")
    if corrupt and on_corrupt == "refuse":
        raise _refusal(corrupt, named)
    if row + 1 != count:
        raise DataError("expected as many images as labels; found another number. Mend the files.")
    return torch.from_numpy(images)


def _room(count: int, shape: Shape) -> Pixels:
    try:
        return np.full((count, *shape), CONSTANT, dtype=np.uint8)
    except (MemoryError, ValueError):
        raise StorageError(
            "expected memory for all images at once; found too little. Ask for smaller images (data.size) or use a "
            "machine with more memory."
        ) from None


def check_on_corrupt(on_corrupt: str) -> None:
    """`InvalidValue` unless the choice is one of `OnCorrupt`."""
    if on_corrupt not in get_args(OnCorrupt):
        raise InvalidValue(f"on_corrupt must be 'refuse' or 'constant'; found {on_corrupt!r}.")


def _refusal(corrupt: int, named: list[str]) -> DataError:
    more = "; ..." if corrupt > len(named) else ""
    return DataError(
        f"expected readable images; found {corrupt} corrupt: {'; '.join(named)}{more}. Nothing was charged. "
        "Mend or remove them, or set on_corrupt = 'constant' to put one constant image in the place of each."
    )


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Pillow refuses truncated files, and its warnings, which may quote a file, stay unprinted."""
    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _decode(source: Undecoded, shape: Shape) -> Pixels:
    if source is None:
        raise DataError("no image data")
    try:
        if isinstance(source, np.ndarray):
            return _canonical(_from_array(source), shape)
        with _opened(source) as file:
            _refuse_large(file)
            with Image.open(file, formats=FORMATS) as image:
                _refuse_bomb(image, file)
                image.load()
                return _canonical(image, shape)
    except (DataError, StorageError):
        raise
    except MemoryError:  # the machine's fault, perhaps: then a constant image must not stand in for this one
        raise StorageError(
            "expected memory to decode one image; found too little. Free some memory, or remove the image if it is "
            "damaged."
        ) from None
    except UnidentifiedImageError:
        raise DataError(f"not one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise DataError(f"more than {MAX_PIXELS} pixels") from None
    except (
        Exception
    ):  # a hostile file can make a codec raise anything; its words may quote the file, so they are dropped
        raise DataError("truncated or damaged") from None


def _opened(source: bytes | Path) -> BinaryIO:
    """The bytes as a file. A file that may not be opened is no corrupt image: no constant may stand in for it."""
    if isinstance(source, bytes):
        return BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise StorageError(
            f"expected to read {source}; found: {error.strerror}. Check the file and its permissions."
        ) from None


def _refuse_large(file: BinaryIO) -> None:
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES} bytes")
    file.seek(0)


def _refuse_bomb(image: Image.Image, file: BinaryIO) -> None:
    """Judge the work ahead by the header, and by the scans of a JPEG."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise DataError(f"more than {MAX_PIXELS} pixels")
    if image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg":  # the latter within TIFF
        position = file.tell()
        file.seek(0)
        scans = file.read().count(_START_OF_SCAN)
        file.seek(position)
        if pixels * scans > MAX_SCANNED_PIXELS:
            raise DataError(f"more than {MAX_SCANNED_PIXELS} pixels over all scans")


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.size == 0:
        raise DataError("zero size")
    if np.issubdtype(array.dtype, np.floating):
        if not (array >= 0).all() or not (array <= 1).all():  # also false for NaN
            raise DataError("values outside [0, 1]")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise DataError("neither uint8 nor floating point")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise DataError("expected [h, w] or [h, w, 1, 3 or 4 channels]")
    return Image.fromarray(np.ascontiguousarray(array))


def _canonical(image: Image.Image, shape: Shape) -> Pixels:
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    image = _without_alpha(_eight_bit(image))
    mode = "L" if shape.channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(_fitted(image, shape))
    return pixels[None] if shape.channels == 1 else pixels.transpose(2, 0, 1)


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PNG"):  # older Pillow: PNG as mode I
        return Image.fromarray(_EIGHT_OF_SIXTEEN[np.asarray(image).astype(np.uint16)])
    if image.mode in ("I", "F"):
        raise DataError("pixels of 32 bits, whose range is unknown")
    return image


def _without_alpha(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    page = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(page, image.convert("RGBA"))


def _fitted(image: Image.Image, shape: Shape) -> Image.Image:
    if image.size == (shape.width, shape.height):
        return image
    scale = min(image.width / shape.width, image.height / shape.height)
    left = max(0.0, (image.width - shape.width * scale) / 2)
    top = max(0.0, (image.height - shape.height * scale) / 2)
    box = (left, top, image.width - left, image.height - top)
    return image.resize((shape.width, shape.height), Image.Resampling.LANCZOS, box=box)
