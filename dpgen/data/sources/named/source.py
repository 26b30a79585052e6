"""Published data sets as sources that are selected by a name, found on this machine when they are loaded."""

from __future__ import annotations

from typing import ClassVar

from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable
from dpgen.data.sources.named.facts import NAMED, NamedSet
from dpgen.data.sources.named.place import VARIABLE, data_folder
from dpgen.data.sources.named.published import BY_HAND, REMOTE, layouts
from dpgen.errors import DataError


class NamedSource(ImageSource):
    """One part of a published data set: its facts are known without a file, so a run can be priced anywhere."""

    facts: ClassVar[NamedSet]
    train: ClassVar[bool]

    def class_names(self) -> tuple[str, ...]:
        """The published classes."""
        return self.facts.class_names

    def nominal_records(self) -> int | None:
        """The published size of the part."""
        return self.facts.records if self.train else self.facts.test_records

    def native_shape(self) -> Shape | None:
        """The published shape; None where images differ."""
        return self.facts.shape

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every image of the part, from the first layout that is found in the folder of data sets.

        Raises: `DataError` that names the folder and the files where there is none.
        """
        folder = data_folder()
        for layout in layouts(self.facts.name):
            files = layout.find(folder, train=self.train)
            if files is not None:
                return layout.load(files, shape, train=self.train, on_corrupt=on_corrupt)
        raise _absent(self.facts, train=self.train)


def named_sources() -> list[type[ImageSource]]:
    """One class for each part of each named set."""
    return [
        _source(facts, train=train) for facts in NAMED.values() for train in (True, False) if train or _has_test(facts)
    ]


def _source(facts: NamedSet, *, train: bool) -> type[ImageSource]:
    name = facts.name if train else f"{facts.name}_test"
    doc = f"{facts.title}, the {'training' if train else 'test'} part. Source: {facts.origin}."
    return type(name, (NamedSource,), {"name": name, "facts": facts, "train": train, "__doc__": doc})


def _has_test(facts: NamedSet) -> bool:
    return facts.test_records is not None


def _absent(facts: NamedSet, *, train: bool) -> DataError:
    wanted = "; or ".join(layout.expected(train=train) for layout in layouts(facts.name))
    way = f"`dpgen data fetch {facts.name}` fetches them" if facts.name in REMOTE else BY_HAND[facts.name]
    return DataError(
        f"expected {facts.title} in {data_folder()}: {wanted}; found none of these. "
        f"Put the files there, or set {VARIABLE} to the folder that holds them; {way}."
    )
