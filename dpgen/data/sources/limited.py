"""The first images of another source: SOURCE[:COUNT]."""

from __future__ import annotations

import re
from typing import Final, final

from dpgen import validate
from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable

_SPELLING: Final = re.compile(r"(?P<source>.+)\[:(?P<count>[0-9]+)\]")


@final
class LimitedSource(ImageSource):
    """The first `count` images of `whole`, in its order; all of it where it has fewer.

    As private data these images are the data set, by the owner's declaration: what the guarantee hides is one of them.
    That the rest of the file exists, and where the cut lies, is taken as public.
    """

    def __init__(self, whole: ImageSource, count: int) -> None:
        validate.count(1, count=count)
        self._whole, self._count = whole, count

    @property
    def name(self) -> str:  # type: ignore[override]
        """That of the whole source."""
        return self._whole.name

    def class_names(self) -> tuple[str, ...]:
        """Those of the whole source."""
        return self._whole.class_names()

    def nominal_records(self) -> int | None:
        """The declared count, at most that of the whole source; None where the owner declares it."""
        whole = self._whole.nominal_records()
        return None if whole is None else min(whole, self._count)

    def native_shape(self) -> Shape | None:
        """That of the whole source."""
        return self._whole.native_shape()

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """The whole source, cut."""
        table = self._whole.load(shape, on_corrupt=on_corrupt)
        if len(table) <= self._count:
            return table
        return ImageTable(table.images[: self._count].clone(), table.labels[: self._count].clone(), table.class_names)


def split_limit(spelling: str) -> tuple[str, int | None]:
    """The source and the count of SOURCE[:COUNT], the smallest of several counts; None for a source without one."""
    count = None
    while found := _SPELLING.fullmatch(spelling):
        spelling, cut = found["source"], int(found["count"])
        count = cut if count is None else min(count, cut)
    return spelling, count
