"""The contract of an image source: what it knows without reading a record, and how it loads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.errors import ConfigError, DataError

MOST_CLASSES = 2**16
LONGEST_CLASS_NAME = 200


@dataclass(frozen=True)
class ImageTable:
    """Images uint8 `[n, channels, height, width]` and labels int64 `[n]` into `class_names`."""

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


class ImageSource(ABC):
    """Where images come from.

    All methods but `load` answer from declared facts, folder names or a file's schema; they read no record, so their
    answers are as public as those. A source that a plugin registers takes its options as keyword arguments of
    `__init__`, checks them there, and does not open anything there.
    """

    name: ClassVar[str]
    """What selects a registered source; what a path source calls itself in messages."""

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the labels. Raises: `DataError` when they are declared nowhere."""

    @abstractmethod
    def nominal_records(self) -> int | None:
        """The declared, public number of records of an embedded set; None where the owner has to declare it."""

    @abstractmethod
    def native_shape(self) -> Shape | None:
        """The shape that a schema states; None where only the images could tell."""

    @abstractmethod
    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Every image in the canonical form of `dpgen.data.decoding`, in a fixed order.

        Raises: `DataError` before anything is charged: corrupt images (under "refuse"), labels outside the classes,
        a file that is not what it seems.
        """


def declared_class_names(class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The owner's class names as a tuple of distinct, printable names; None stays None.

    Raises: `ConfigError` when they are empty, repeated, no text, too long or too many.
    """
    if class_names is None:
        return None
    names = () if isinstance(class_names, str) else tuple(class_names)
    if not all(map(_can_name_a_class, names)) or not 0 < len(set(names)) == len(names) <= MOST_CLASSES:
        raise ConfigError(
            f"class_names must be a list of 1 to {MOST_CLASSES} distinct names, each printable and of 1 to "
            f"{LONGEST_CLASS_NAME} characters; found {_excerpt(class_names)}."
        )
    return names


def _can_name_a_class(name: object) -> bool:
    """Names are printed in reports and drawn on sheets, so a line break or a megabyte of text is no name."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_CLASS_NAME and name.isprintable()


def _excerpt(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def checked_labels(labels: NDArray[Any], classes: int, *, where: str) -> Tensor:
    """The labels as int64 `[n]`. Raises: `DataError`, quoting no value, unless they are integers in 0..classes-1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"expected integer labels in {where}; found {labels.dtype}. Store the index of the class.")
    if ((labels < 0) | (labels >= classes)).any():
        raise DataError(
            f"expected labels 0..{classes - 1}, the {classes} declared classes; found another one in {where}. "
            "Declare every class, in the order of the labels, or mend the labels."
        )
    return torch.from_numpy(labels.astype(np.int64))
