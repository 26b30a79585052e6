"""Distances between many images: block by block, whatever is asked of them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from dpgen.evaluation.base import Features
from dpgen.evaluation.metrics import distances
from dpgen.evaluation.metrics.density_coverage import density_coverage
from dpgen.evaluation.metrics.distances import nearest, squared_radii
from dpgen.evaluation.metrics.precision_recall import precision_recall

IMAGES = 1500
WHOLE_MATRIX = 8 * IMAGES**2
ASKED: dict[str, Callable[[Features, Features], object]] = {
    "radii": lambda first, _: squared_radii(first, neighbours=4),
    "nearest": nearest,
    "precision and recall": precision_recall,
    "density and coverage": density_coverage,
}


def peak_of(asked: Callable[[Features, Features], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes in use at most."""
    monkeypatch.setattr(distances, "_CHUNK", 64)
    first, second = np.random.default_rng(0).normal(size=(2, IMAGES, 4))
    tracemalloc.start()
    asked(first, second)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_no_matrix_of_all_distances_is_ever_in_memory(
    asked: Callable[[Features, Features], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peak_of(asked, monkeypatch) < WHOLE_MATRIX / 3


def test_views_of_the_blocks_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def radii(features: Features, _: Features) -> Features:
        blocks = distances.squared_distances(features, features)
        return np.concatenate([np.partition(block, 4, axis=1)[:, 4] for block in blocks])

    assert peak_of(radii, monkeypatch) > 0.9 * WHOLE_MATRIX
