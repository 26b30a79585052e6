"""Private images that are arrays in memory, as a source that a configuration can name. They are never written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dpgen.data.decoding import OnCorrupt, decode_all
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable, checked_labels, declared_class_names
from dpgen.errors import DataError

ARRAYS = "arrays_in_memory"
"""The name of the source in configurations and records."""


def in_memory(
    images: NDArray[Any] | Tensor, labels: ArrayLike | Tensor, class_names: Sequence[str]
) -> type[ImageSource]:
    """A source, called `ARRAYS`, of these images; for `prepare(..., sources={ARRAYS: ...})`.

    Args: `images` a tensor `[n, channels, height, width]`, or an array `[n, height, width]` or
    `[n, height, width, channels]`; uint8, or floating point in [0, 1]. `labels` `[n]`, integers into `class_names`,
    which are the owner's declaration: a class without images is a class too.
    Raises: `DataError` without content, `ConfigError` for class names that are none.
    """
    pixels, names = _pixels(images), declared_class_names(class_names) or ()
    checked = _labels(labels, len(pixels), names)
    shape = Shape(1 if pixels.ndim == 3 else pixels.shape[3], *pixels.shape[1:3])

    @final
    class ArraysInMemory(ImageSource):
        """The images above."""

        name = ARRAYS

        def class_names(self) -> tuple[str, ...]:
            """As declared."""
            return names

        def nominal_records(self) -> int | None:
            """None: the owner declares it; how many images there are is private."""
            return None

        def native_shape(self) -> Shape | None:
            """The shape of the arrays."""
            return shape

        def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
            """Every image, in order."""
            named = ((f"image {row}", image) for row, image in enumerate(pixels))
            decoded = decode_all(named, count=len(pixels), shape=shape, on_corrupt=on_corrupt)
            return ImageTable(decoded, checked, names)

    return ArraysInMemory


def _labels(labels: ArrayLike | Tensor, count: int, names: tuple[str, ...]) -> Tensor:
    """One label int64 for each of `count` images, each the place of a declared name."""
    indices = np.asarray(labels)
    if indices.shape != (count,):
        raise DataError("expected one label per image; found another number. Give labels [n].")
    return checked_labels(indices, len(names), where="the labels")


def _pixels(images: NDArray[Any] | Tensor) -> NDArray[Any]:
    """`[n, height, width]` or `[n, height, width, channels]`, uint8 or floating point."""
    if isinstance(images, Tensor):
        if images.ndim != 4:
            raise DataError(
                f"expected a tensor [n, channels, height, width]; found {images.ndim} axes. Add the axis of channels."
            )
        images = images.detach().cpu().permute(0, 2, 3, 1).numpy()
    pixels: NDArray[Any] = np.asarray(images)
    channels_fit = pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] in (1, 3))
    if (
        not channels_fit
        or 0 in pixels.shape
        or not (pixels.dtype == np.uint8 or np.issubdtype(pixels.dtype, np.floating))
    ):
        raise DataError(
            f"expected images [n, height, width] or [n, height, width, 1 or 3], or a tensor with its channels first, "
            f"uint8 or floating point; found {pixels.dtype}, {list(pixels.shape[1:])} behind the first axis. "
            "Convert them."
        )
    return pixels
