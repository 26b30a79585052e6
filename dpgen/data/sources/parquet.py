"""Parquet in the Hugging Face image layout: one column of encoded images, one of integer labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from dpgen.data.decoding import OnCorrupt, Undecoded, check_on_corrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels, declared_class_names
from dpgen.errors import DataError, DpgenError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")


def pyarrow_parquet() -> Any:
    """The module `pyarrow.parquet`. Raises: `DpgenError` naming the extra to install."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise DpgenError(
            'Parquet needs pyarrow, which is not installed. Install it with `pip install "dpgen[parquet]"`.'
        ) from None
    return pyarrow.parquet


@final
class ParquetSource(ImageSource):
    """One or more Parquet files with the same columns, taken in the order given.

    The image column is named `image` or `img` and holds `struct{bytes, path}` (only `bytes` is used) or plain binary;
    the label column is named `label` or `labels` and holds integers. Class names come from the owner, else from the
    schema metadata: key `class_names` (a JSON list), else the `huggingface` features.
    """

    name = "parquet"

    def __init__(self, paths: Sequence[Path], *, class_names: Sequence[str] | None = None) -> None:
        self._paths = tuple(paths)
        self._declared = declared_class_names(class_names)

    def class_names(self) -> tuple[str, ...]:
        """The declared names, else those of the schema metadata, which must agree between files."""
        if self._declared is not None:
            return self._declared
        found = {_schema_class_names(_open(path).schema_arrow) for path in self._paths}
        names = next(iter(found))
        if len(found) > 1:
            raise DataError(
                "expected the same class names in every Parquet file; found different ones. Mend the files."
            )
        if names is None:
            raise DataError(
                "expected class names in the schema metadata (key class_names or huggingface) of "
                f"{self._paths[0].name}; found none. Declare class_names (`data.classes` in a configuration), in the "
                "order of the labels."
            )
        return names

    def nominal_records(self) -> int | None:
        """None: the owner declares it."""
        return None

    def native_shape(self) -> Shape | None:
        """None: the schema does not state the size of the images."""
        return None

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every row of every file, in order."""
        check_on_corrupt(on_corrupt)
        classes = self.class_names()
        files = [_open(path) for path in self._paths]
        labels = [_labels(path, file, len(classes)) for path, file in zip(self._paths, files, strict=True)]
        images = decode_all(
            (image for path, file in zip(self._paths, files, strict=True) for image in _images(path, file)),
            count=sum(file.metadata.num_rows for file in files),
            shape=shape,
            on_corrupt=on_corrupt,
        )
        return ImageTable(images, torch.cat(labels), classes)


def _open(path: Path) -> Any:
    pq = pyarrow_parquet()
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError):  # ArrowInvalid is a ValueError; the cause is dropped, it may quote the file
        raise DataError(f"expected a readable Parquet file; found {path.name}, which is not. Write it again.") from None


def _column(path: Path, file: Any, names: Sequence[str]) -> str:
    present = [name for name in names if name in file.schema_arrow.names]
    if len(present) != 1:
        raise DataError(
            f"expected one column named {' or '.join(names)} in {path.name}; found the columns "
            f"{', '.join(file.schema_arrow.names)}. Rename the column."
        )
    return present[0]


def _schema_class_names(schema: Any) -> tuple[str, ...] | None:
    metadata = schema.metadata or {}
    try:
        if b"class_names" in metadata:
            return declared_class_names(json.loads(metadata[b"class_names"]))
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        for column in LABEL_COLUMNS:
            if "names" in features.get(column, {}):
                return declared_class_names(features[column]["names"])
    except (ValueError, AttributeError, TypeError):
        raise DataError("expected JSON class names in the schema metadata; found something else.") from None
    return None


def _batches(path: Path, file: Any, column: str) -> Iterator[Any]:
    try:
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            yield batch.column(0)
    except (OSError, ValueError):
        raise DataError(f"expected a readable Parquet file; found {path.name} damaged. Write it again.") from None


def _labels(path: Path, file: Any, classes: int) -> Tensor:
    column = _column(path, file, LABEL_COLUMNS)
    values = [torch.zeros(0, dtype=torch.int64)]
    for batch in _batches(path, file, column):
        if batch.null_count:
            raise DataError(f"expected a label in every row of {path.name}; found a row without. Mend the labels.")
        values.append(checked_labels(batch.to_numpy(zero_copy_only=False), classes, where=path.name))
    return torch.cat(values)


def _images(path: Path, file: Any) -> Iterator[tuple[str, Undecoded]]:
    column, row = _column(path, file, IMAGE_COLUMNS), 0
    kind = str(file.schema_arrow.field(column).type)
    if not kind.startswith(("struct<bytes: binary", "struct<bytes: large_binary", "binary", "large_binary")):
        raise DataError(f"expected struct{{bytes, path}} or binary in column {column!r} of {path.name}; found {kind}.")
    for batch in _batches(path, file, column):
        for value in batch.to_pylist():
            yield f"{path.name} row {row}", _encoded(value)
            row += 1


def _encoded(value: object) -> bytes | None:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None
