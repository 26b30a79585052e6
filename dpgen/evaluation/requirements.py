"""What an evaluation needs, asked before anything is trained and before the test split is opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Shape
from dpgen.errors import DataError
from dpgen.evaluation.base import Metric, missing_evidence


def require_enough(metrics: Sequence[Metric], *, test: int, synthetic: int) -> None:
    """Are there as many test and synthetic images as each metric needs?

    Raises: `DataError` that names the metric and the number; of the test images it says only that they are too few.
    """
    for metric in metrics:
        fewest = metric.fewest_images
        if synthetic < fewest:
            raise DataError(
                f"{metric.name}: expected at least {fewest} synthetic images; found {synthetic}. "
                "Make more images, or leave the metric out."
            )
        if test < fewest:
            raise DataError(
                f"{metric.name}: expected at least {fewest} real test images; found fewer. "
                "Give more images, or leave the metric out."
            )


def require_evidence(metrics: Sequence[Metric], *, missing: Collection[str]) -> None:
    """Is there all that each metric needs, when the fields `missing` of `Evidence` are not? Raises: `DataError`."""
    for metric in metrics:
        for name in metric.needs:
            if name in missing:
                raise DataError(f"{metric.name}: {missing_evidence(name)}")


def require_like(synthetic: SyntheticDataset, shape: Shape, class_names: tuple[str, ...]) -> None:
    """Are the synthetic images of this shape and of these classes, in this order? Raises: `DataError`."""
    if tuple(synthetic.images.shape[1:]) != tuple(shape):
        raise DataError(
            f"the synthetic images must have the shape of the test images, {tuple(shape)}; "
            f"found {tuple(synthetic.images.shape[1:])}. Generate them in that shape."
        )
    if tuple(synthetic.class_names) != class_names:
        raise DataError(
            f"the synthetic classes must be those of the test split, {class_names}; "
            f"found {synthetic.class_names}. Give both the same names in the same order."
        )
