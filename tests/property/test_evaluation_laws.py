"""Laws of the distances between two sets of features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from dpgen.evaluation.metrics.frechet import frechet_distance
from dpgen.evaluation.metrics.precision_recall import precision_recall

Array = NDArray[np.float64]
VALUES = st.floats(-100, 100, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two sets of features of one width, often with fewer rows than columns."""
    size = draw(st.integers(1, 8))
    first, second = draw(st.integers(5, 12)), draw(st.integers(5, 12))
    return draw(arrays(np.float64, (first, size), elements=VALUES)), draw(
        arrays(np.float64, (second, size), elements=VALUES)
    )


def size_of(first: Array, second: Array) -> float:
    """The scale that rounding errors are relative to."""
    return 1 + float(np.square(first).max() + np.square(second).max()) * first.shape[1]


@given(pairs())
def test_frechet_is_not_negative_and_symmetric(pair: tuple[Array, Array]) -> None:
    forth, back = frechet_distance(*pair), frechet_distance(*pair[::-1])
    assert forth >= 0
    assert forth == pytest.approx(back, rel=1e-9, abs=1e-9 * size_of(*pair))


@given(pairs())
def test_frechet_of_equal_sets_is_zero(pair: tuple[Array, Array]) -> None:
    first, _ = pair
    order = np.random.default_rng(0).permutation(len(first))
    assert frechet_distance(first, first[order]) == pytest.approx(0, abs=1e-9 * size_of(first, first))


@given(pairs(), VALUES)
def test_frechet_ignores_a_common_shift_and_sees_a_single_one(pair: tuple[Array, Array], shift: float) -> None:
    first, second = pair
    tolerance = 1e-9 * size_of(np.abs(first) + 100, np.abs(second) + 100)
    together = frechet_distance(first + shift, second + shift)
    assert together == pytest.approx(frechet_distance(first, second), abs=tolerance)
    alone = frechet_distance(first, first + shift)
    assert alone == pytest.approx(first.shape[1] * shift**2, abs=tolerance)


@given(pairs())
def test_frechet_is_at_least_the_distance_of_the_means(pair: tuple[Array, Array]) -> None:
    first, second = pair
    gap = float(np.square(first.mean(0) - second.mean(0)).sum())
    assert frechet_distance(first, second) >= gap - 1e-9 * size_of(first, second)


@given(pairs(), st.integers(1, 4))
def test_swapping_the_sets_swaps_precision_and_recall(pair: tuple[Array, Array], neighbours: int) -> None:
    first, second = pair
    precision, recall = precision_recall(first, second, neighbours=neighbours)
    assert precision_recall(second, first, neighbours=neighbours) == (recall, precision)
    assert 0 <= precision <= 1
    assert 0 <= recall <= 1


@given(pairs(), st.integers(1, 4))
def test_equal_sets_have_full_precision_and_recall(pair: tuple[Array, Array], neighbours: int) -> None:
    first, _ = pair
    assert precision_recall(first, first.copy(), neighbours=neighbours) == (1.0, 1.0)


@given(pairs(), st.integers(1, 3))
def test_more_neighbours_never_lower_precision_or_recall(pair: tuple[Array, Array], neighbours: int) -> None:
    fewer = precision_recall(*pair, neighbours=neighbours)
    more = precision_recall(*pair, neighbours=neighbours + 1)
    assert all(low <= high for low, high in zip(fewer, more, strict=True))
