"""The private test images, behind a handle that opens once."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from dpgen.data.info import Shape
from dpgen.errors import DataError, SelectionOnTest, TestSetReused
from dpgen.evaluation.selection import FixedClassifier


@final
class TestSplit:
    """Real images kept for one look. Given to a `Protocol`, never to a generator.

    The handle prevents mistakes, not malice: Python cannot stop code that goes looking for private attributes.
    Args: `images` uint8 or float in [0, 1], `[n, channels, height, width]`; `labels` int64 `[n]` into `class_names`.
    Raises: `DataError`, without content, when they do not fit each other.
    """

    __test__ = False  # the name starts with Test: tell pytest that this is no test class

    def __init__(self, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> None:
        if images.ndim != 4 or len(images) == 0 or not (images.dtype == torch.uint8 or images.is_floating_point()):
            raise DataError(
                "expected test images [n >= 1, channels, height, width], uint8 or float; found another shape or type. "
                "Load them as the private images are loaded."
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise DataError("expected one int64 label per test image; found another dtype or length. Give labels [n].")
        if not bool(((labels >= 0) & (labels < len(class_names))).all()):
            raise DataError(
                f"test labels must lie in [0, {len(class_names)}); found one outside. Check the declared class names."
            )
        self.shape, self.class_names = Shape(*images.shape[1:]), tuple(class_names)
        self._images, self._labels, self._opened = images, labels, False

    def require_unopened(self) -> None:
        """Raises: `TestSetReused` when the split was opened before."""
        if self._opened:
            raise TestSetReused(
                "the private test split is opened once; found it opened before. A second look lets the first score "
                "steer a choice: choose on held-out synthetic images, or give another test split."
            )

    def open(self, *classifiers: FixedClassifier) -> tuple[Tensor, Tensor]:
        """Images and labels, once, against the classifiers whose choice is over: all that will ever look at them.

        Raises: `SelectionOnTest` without a fixed, unchanged classifier; `TestSetReused` the second time. After
        either refusal nothing was read.
        """
        self.require_unopened()
        for classifier in classifiers or (None,):
            if not isinstance(classifier, FixedClassifier):
                raise SelectionOnTest(
                    "the test split opens after the classifier is fixed; found "
                    f"{type(classifier).__name__}. Let a `Selection` choose one first."
                )
            classifier.require_unchanged()
        self._opened = True
        return self._images, self._labels

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        return f"TestSplit({'opened' if self._opened else 'unopened'})"

    def __reduce__(self) -> str:
        raise TypeError("a TestSplit opens once in one process and cannot be copied or pickled")
