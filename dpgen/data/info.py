"""Public facts about a data set, declared by its owner and never read off the records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dpgen import validate
from dpgen.errors import InvalidValue


class Unit(StrEnum):
    """Whose presence the guarantee hides: one image, or all images of one person."""

    IMAGE = "image"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Shape:
    """Channels (1 grey, 3 RGB), height and width of every image, in pixels."""

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        validate.count(1, height=self.height, width=self.width)
        if self.channels not in (1, 3):
            raise InvalidValue(f"channels must be 1 (grey) or 3 (RGB); found {self.channels!r}.")

    def __iter__(self) -> Iterator[int]:
        return iter((self.channels, self.height, self.width))


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What everybody may know about a data set.

    `nominal_records` sets divisors and sampling rates. It is declared, never filled from the true count, and no error
    compares it with the true count: under add-or-remove-one the count is private.
    `minimum_records` is a promise that some mechanisms need; None promises nothing.
    `class_counts` only where the owner declares them public; labels belong to records.
    """

    shape: Shape
    class_names: tuple[str, ...]
    nominal_records: int
    minimum_records: int | None = None
    class_counts: tuple[int, ...] | None = None
    unit: Unit = Unit.IMAGE
    max_images_per_person: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "unit", Unit(self.unit))
        validate.count(1, nominal_records=self.nominal_records, max_images_per_person=self.max_images_per_person)
        if not self.class_names or len(set(self.class_names)) != len(self.class_names):
            raise InvalidValue(f"class names must be distinct and at least one; found {self.class_names!r}.")
        if self.unit is Unit.IMAGE and self.max_images_per_person != 1:
            raise InvalidValue(
                f"unit 'image' protects one image; found max_images_per_person={self.max_images_per_person}. "
                "Set unit = 'person' to have the guarantee for a person's images printed."
            )

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """The facts as plain JSON data."""
        return {
            "shape": list(self.shape),
            "class_names": list(self.class_names),
            "nominal_records": self.nominal_records,
            "minimum_records": self.minimum_records,
            "class_counts": None if self.class_counts is None else list(self.class_counts),
            "unit": str(self.unit),
            "max_images_per_person": self.max_images_per_person,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> DatasetInfo:
        """The facts that `to_json` wrote."""
        counts = data["class_counts"]
        return DatasetInfo(
            **data
            | {
                "shape": Shape(*data["shape"]),
                "class_names": tuple(data["class_names"]),
                "class_counts": None if counts is None else tuple(counts),
            }
        )
