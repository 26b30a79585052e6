"""What all metrics of k nearest neighbours demand."""

from __future__ import annotations

from dpgen import validate
from dpgen.errors import DataError
from dpgen.evaluation.base import Features


def require_more_images(*sets: Features, neighbours: int) -> None:
    """Raises: `InvalidValue` for no neighbour; `DataError` for a set with no more images than neighbours."""
    validate.count(1, neighbours=neighbours)
    if min(len(features) for features in sets) <= neighbours:
        raise DataError(
            f"a metric with {neighbours} neighbours needs more than {neighbours} images on each side; "
            "found fewer. Give more images or take fewer neighbours."
        )
