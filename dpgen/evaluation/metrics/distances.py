"""Euclidean distances between sets of features, and the reach of each image's nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dpgen.evaluation.base import Features

_CHUNK = 1024
"""Rows of the distance matrix in memory at once."""


def with_common_origin(*sets: Features) -> tuple[Features, ...]:
    """The sets moved by one vector that lies among them: squared norms stay small and their differences exact.

    float64 in, float64 out; no distance changes.
    """
    origin = sum(np.asarray(features, np.float64).mean(0) for features in sets) / len(sets)
    return tuple(features - origin for features in sets)


def squared_distances(rows: Features, columns: Features) -> Iterator[Features]:
    """Blocks `[chunk, len(columns)]` of the matrix of squared Euclidean distances, none below 0."""
    norms = np.square(columns).sum(1)
    for start in range(0, len(rows), _CHUNK):
        block = rows[start : start + _CHUNK]
        squared = np.square(block).sum(1)[:, None] + norms - 2 * block @ columns.T
        yield np.maximum(squared, 0.0)


def squared_radii(features: Features, *, neighbours: int) -> Features:
    """Squared distance of each image to its k-th neighbour among the others, `[n]`; needs more than k images."""
    # Place 0 of a sorted row is the image itself. A copy, since a view of that column would keep its block in memory.
    blocks = squared_distances(features, features)
    return np.concatenate([np.partition(block, neighbours, axis=1)[:, neighbours].copy() for block in blocks])


def nearest(points: Features, among: Features) -> Features:
    """Distance (not squared) of each of `points` to its nearest of `among`, `[len(points)]`."""
    found: Features = np.sqrt(np.concatenate([block.min(1) for block in squared_distances(points, among)]))
    return found


def rounding_of(*sets: Features) -> float:
    """What rounding may add to a squared distance within or between the sets."""
    return float(1e-12 * max(np.square(features).sum(1).max() for features in sets))
