"""Parquet in the Hugging Face image layout: one column of encoded images, one of integer labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch

from dpgen.data.decoding import OnCorrupt, check_on_corrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, declared_class_names
from dpgen.data.sources.parquet_file import ParquetImages
from dpgen.errors import DataError


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
        found = {ParquetImages(path).class_names() for path in self._paths}
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
        files = [ParquetImages(path) for path in self._paths]
        for file in files:
            file.check_claims(shape)
        labels = torch.cat([file.labels(len(classes)) for file in files])
        named = (image for file in files for image in file.images())
        return ImageTable(decode_all(named, count=len(labels), shape=shape, on_corrupt=on_corrupt), labels, classes)
