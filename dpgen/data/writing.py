"""Synthetic images as files: Parquet, class folders, `.npz`, PNG, and a sheet to look at.

Each file reads back through `dpgen.data.sources` to the same 8-bit images.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dpgen import validate
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.sources.glyph_masters import font_path
from dpgen.data.sources.parquet_file import pyarrow_parquet
from dpgen.errors import DataError, StorageError
from dpgen.storage import flush_durably, rename_durably, write_atomically

_ROW_GROUP = 5_000
METADATA = "metadata.csv"
"""Beside the class folders, as the Hugging Face Hub reads them: `file_name,label`, one line an image."""

_UNSAFE = frozenset('/\\:*?"<>|')  # in a folder's name, on one system or another

_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_GAP, _MARGIN, _SMALLEST_CELL, _FONT_SIZE = 6, 16, 48, 16


def eight_bit(images: Tensor) -> Tensor:
    """Images as uint8: values in [0, 1] times 255, rounded; uint8 stays as it is. Nothing else is accepted."""
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point() or not bool(((images >= 0) & (images <= 1)).all()):
        raise DataError("expected images as uint8 or as floating point in [0, 1]; found others. Clamp them first.")
    return (images * 255).round().to(torch.uint8)


def png_bytes(image: Tensor) -> bytes:
    """One image `[channels, height, width]` as a PNG file, lossless."""
    return _png(_pixels(image[None])[0])


def write_parquet(dataset: SyntheticDataset, path: Path) -> None:
    """One Parquet file in the Hugging Face image layout; `datasets.Dataset.from_parquet` gives Image and ClassLabel.

    Raises: `DpgenError` when pyarrow is missing, `StorageError` when the file cannot be written.
    """
    pq = pyarrow_parquet()
    import pyarrow as pa

    names = list(dataset.class_names)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"class_names": json.dumps(names), "huggingface": json.dumps({"info": {"features": features}})}
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image_type), ("label", pa.int64())], metadata=metadata)
    encoded = [{"bytes": _png(image), "path": f"{i:06d}.png"} for i, image in enumerate(_pixels(dataset.images))]
    columns = [pa.array(encoded, type=image_type), pa.array(dataset.labels.numpy(), type=pa.int64())]
    file = BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), file, row_group_size=_ROW_GROUP)
    write_atomically(path, file.getvalue())


def write_folder(dataset: SyntheticDataset, folder: Path) -> None:
    """One folder per class, also for a class without images, one PNG per image, named by its row, and `METADATA`.

    Reading it back gives the images class by class; `class_names` restores the order of the classes.
    Raises: `DataError` when a class name cannot name a folder everywhere, or when `folder` already holds something;
    `StorageError` when it cannot be written.
    """
    check_folder_names(dataset.class_names)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DataError(f"expected an empty folder; found {folder} in use. Choose another one.")
    try:
        with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=_made(folder.parent)) as staging:
            whole = _fill(dataset, _made(Path(staging) / "whole"))
            flush_durably(whole)
            rename_durably(whole, folder)  # all of it appears, or nothing
    except OSError as error:
        raise StorageError(
            f"expected to write {folder}; found: {error.strerror}. Check the path and the disk."
        ) from error


def write_npz(dataset: SyntheticDataset, path: Path) -> None:
    """One compressed NumPy archive: `images` uint8 `[n, h, w]` or `[n, h, w, 3]`, `labels`, `class_names`."""
    labels, names = dataset.labels.numpy(), np.array(dataset.class_names)
    arrays = {"images": _pixels(dataset.images), "labels": labels, "class_names": names}
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # numpy.savez would store the time, and equal images give other bytes
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as content:
                np.lib.format.write_array(content, array, allow_pickle=False)
    write_atomically(path, file.getvalue())


def rows_by_class(images: Tensor, labels: Tensor, *, classes: int, columns: int) -> Tensor:
    """The first `columns` images of each class, row by row for `contact_sheet`; empty places, white as its paper,
    where a class has fewer: black ones look like images that failed.

    Returns: uint8 `[classes * columns, channels, height, width]`.
    """
    rows = torch.full((classes, columns, *images.shape[1:]), 255, dtype=torch.uint8)
    for label in range(classes):
        found = images[labels == label][:columns]
        rows[label, : len(found)] = eight_bit(found)
    return rows.flatten(0, 1)


def contact_sheet(images: Tensor, *, columns: int, row_names: Sequence[str] | None = None) -> bytes:
    """A PNG sheet of images `[n, channels, height, width]` in rows of `columns`, each row's name at its left.

    Small images are enlarged by a whole factor, bicubically, to cells of at least 48 pixels, with space between them.
    """
    validate.count(1, columns=columns, images=len(images))
    cells = _enlarged(eight_bit(images))
    rows = -(-len(cells) // columns)
    if row_names is not None and len(row_names) != rows:
        raise DataError(f"expected one name for each of the {rows} rows; found {len(row_names)}. Give one per row.")
    height, width = cells.shape[1:3]
    font = ImageFont.truetype(font_path("DejaVuSans"), _FONT_SIZE)
    name_width = max((round(font.getlength(name)) + 2 * _GAP for name in row_names or ()), default=0)
    left = _MARGIN + name_width
    size = (left + columns * (width + _GAP) - _GAP + _MARGIN, rows * (height + _GAP) - _GAP + 2 * _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(Image.fromarray(cell), (left + column * (width + _GAP), _MARGIN + row * (height + _GAP)))
    for row, name in enumerate(row_names or ()):
        middle = _MARGIN + row * (height + _GAP) + height // 2
        draw.text((left - 2 * _GAP, middle), name, fill=_INK, font=font, anchor="rm")
    return _saved(sheet)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Uint8 `[n, h, w]` for grey, `[n, h, w, 3]` for RGB."""
    pixels: NDArray[np.uint8] = eight_bit(images).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels[..., 0] if pixels.shape[3] == 1 else pixels


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fill(dataset: SyntheticDataset, folder: Path) -> Path:
    for name in dataset.class_names:
        _made(folder / name)
    lines = [("file_name", "label")]
    for row, (image, label) in enumerate(zip(_pixels(dataset.images), dataset.labels.tolist(), strict=True)):
        name = dataset.class_names[label]
        (folder / name / f"{row:06d}.png").write_bytes(_png(image))
        lines.append((f"{name}/{row:06d}.png", name))
    with (folder / METADATA).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    return folder


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return _saved(Image.fromarray(pixels))


def _saved(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _enlarged(images: Tensor) -> NDArray[np.uint8]:
    """RGB cells `[n, h, w, 3]`, each side at least `_SMALLEST_CELL` pixels."""
    factor = max(1, -(-_SMALLEST_CELL // min(images.shape[2:])))
    large = F.interpolate(images.float(), scale_factor=factor, mode="bicubic") if factor > 1 else images.float()
    return _pixels(large.clamp(0, 255).round().to(torch.uint8).expand(-1, 3, -1, -1))


def check_folder_names(names: Sequence[str]) -> None:
    """`DataError` unless every name makes a folder of its own on every system, case-blind ones included."""
    bad = [n for n in names if not n.isprintable() or set(n) & _UNSAFE or n.startswith(".") or n != n.strip(" .")]
    if bad or len({n.casefold() for n in names}) != len(names):
        found = f"found {', '.join(map(repr, bad))}" if bad else "found two that differ only in case"
        raise DataError(f"expected class names that can name folders; {found}. Write Parquet or .npz instead.")
