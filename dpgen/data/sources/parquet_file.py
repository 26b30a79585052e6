"""One Parquet file of images and labels, read a few rows at a time; whatever is wrong with it is a `DataError`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from dpgen.data.decoding import Undecoded
from dpgen.data.info import Shape
from dpgen.data.sources.base import checked_labels, declared_class_names
from dpgen.data.sources.sizes import check_claims
from dpgen.errors import DataError, DpgenError
from dpgen.storage import parse_json

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")

_IMAGE_TYPES = ("struct<bytes: binary", "struct<bytes: large_binary", "binary", "large_binary")
_BATCH_ROWS, _BATCH_BYTES = 1024, 2**27


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
class ParquetImages:
    """The image and the label column of the file `path`."""

    def __init__(self, path: Path) -> None:
        """Read the footer of the file alone."""
        self._path, parquet = path, pyarrow_parquet()
        with self._readable(", which is not"):
            self._file = parquet.ParquetFile(path)
            self._schema = self._file.schema_arrow

    def class_names(self) -> tuple[str, ...] | None:
        """The names in the schema metadata, or None."""
        metadata = self._schema.metadata or {}
        try:
            if b"class_names" in metadata:
                return declared_class_names(parse_json(metadata[b"class_names"]))
            features = parse_json(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
            for column in LABEL_COLUMNS:
                if "names" in features.get(column, {}):
                    return declared_class_names(features[column]["names"])
        except (ValueError, AttributeError, TypeError):
            raise DataError("expected JSON class names in the schema metadata; found something else.") from None
        return None

    def check_claims(self, shape: Shape) -> None:
        """Raises: `DataError` when the footer claims more than a file of this size can hold in good faith."""
        with self._readable(" damaged"):
            facts, on_disk = self._file.metadata, self._path.stat().st_size
            rows, in_memory = facts.num_rows, max(sum(self._sizes()), facts.num_rows * math.prod(shape))
        check_claims(records=rows, in_memory=in_memory, on_disk=on_disk, where=self._path.name)

    def labels(self, classes: int) -> Tensor:
        """The label of each row, int64 `[n]`. Raises: `DataError` for a missing one or one outside 0..classes-1."""
        column = self._column(LABEL_COLUMNS)
        values = [torch.zeros(0, dtype=torch.int64)]
        for batch in self._batches(column, _BATCH_ROWS):
            if batch.null_count:
                raise DataError(
                    f"expected a label in every row of {self._path.name}; found a row without. Mend the labels."
                )
            values.append(checked_labels(batch.to_numpy(zero_copy_only=False), classes, where=self._path.name))
        return torch.cat(values)

    def images(self) -> Iterator[tuple[str, Undecoded]]:
        """What the owner calls each row, and its encoded image."""
        column, row = self._column(IMAGE_COLUMNS), 0
        kind = str(self._schema.field(column).type)
        if not kind.startswith(_IMAGE_TYPES):
            raise DataError(
                f"expected struct{{bytes, path}} or binary in column {column!r} of {self._path.name}; found {kind}."
            )
        for batch in self._batches(column, self._image_rows()):
            for value in batch:
                yield f"{self._path.name} row {row}", _encoded(value.as_py())
                row += 1

    def _image_rows(self) -> int:
        """Rows at a time: few enough to fit memory if each repeats the largest value that a dictionary can hold."""
        return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, *self._sizes(), 1)))

    def _sizes(self) -> list[int]:
        """What each group of rows fills when it is decompressed, by the footer.

        The sizes of its columns are not asked for: over a damaged footer pyarrow (26.0.1) then ends the process.
        """
        facts = self._file.metadata
        return [max(0, facts.row_group(i).total_byte_size) for i in range(facts.num_row_groups)]

    def _column(self, names: Sequence[str]) -> str:
        present = [name for name in names if name in self._schema.names]
        if len(present) != 1:
            raise DataError(
                f"expected one column named {' or '.join(names)} in {self._path.name}; found the columns "
                f"{', '.join(self._schema.names)}. Rename the column."
            )
        return present[0]

    def _batches(self, column: str, rows: int) -> Iterator[Any]:
        with self._readable(" damaged"):
            batches = self._file.iter_batches(batch_size=rows, columns=[column])
        while True:
            with self._readable(" damaged"):  # around the reading alone: what a caller raises is its own
                batch = next(batches, None)
            if batch is None:
                return
            yield batch.column(0)

    @contextmanager
    def _readable(self, found: str) -> Iterator[None]:
        """Whatever goes wrong inside Arrow becomes one `DataError`; its words are dropped, they may quote the file."""
        try:
            yield
        except DpgenError:
            raise
        except Exception:
            raise DataError(
                f"expected a readable Parquet file; found {self._path.name}{found}. Write it again."
            ) from None


def _encoded(value: object) -> bytes | None:
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None
