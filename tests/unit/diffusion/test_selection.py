from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dpgen.data.datasets import PublicDataset
from dpgen.errors import InvalidValue
from dpgen.networks.classifier import ImageClassifier
from dpgen_plugins.diffusion.query_network import OwnClassifier
from dpgen_plugins.diffusion.selection import Selection, assign_public_classes
from dpgen_plugins.diffusion.semantic_query import TopClassVotes


def greedy_in_index_order(histogram: np.ndarray, *, per_class: int) -> tuple[tuple[int, ...], ...]:
    """The reference implementation's way: the broken twin."""
    free, taken = set(range(histogram.shape[1])), []
    for row in histogram:
        best = sorted(free, key=lambda c: -row[c])[:per_class]
        free -= set(best)
        taken.append(tuple(best))
    return tuple(taken)


CONTESTED = np.array([[90, 80, 0, 0], [100, 0, 0, 0]])  # class 0 can do with its second choice, class 1 cannot


def survives_reordering(assign: object) -> bool:
    forward = assign(CONTESTED, per_class=1)  # type: ignore[operator]
    backward = assign(CONTESTED[::-1], per_class=1)  # type: ignore[operator]
    return forward == backward[::-1]


def test_the_order_of_classes_does_not_matter() -> None:
    assert survives_reordering(assign_public_classes)
    assert assign_public_classes(CONTESTED, per_class=1) == ((1,), (0,))


def test_greedy_selection_is_caught() -> None:
    assert not survives_reordering(greedy_in_index_order)


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 4), st.just(9)), elements=st.integers(-50, 1000)), st.integers(1, 2)
)
def test_sets_are_disjoint_and_complete(histogram: np.ndarray, per_class: int) -> None:
    chosen = assign_public_classes(histogram, per_class=per_class)
    flat = [c for taken in chosen for c in taken]
    assert len(chosen) == len(histogram)
    assert all(len(taken) == per_class for taken in chosen)
    assert len(set(flat)) == len(flat)


def test_a_rare_class_is_served_as_well_as_a_common_one() -> None:
    assert assign_public_classes(np.array([[6000, 5900], [6, 0]]), per_class=1) == ((1,), (0,))


def test_one_row_takes_the_classes_of_most_votes() -> None:
    assert assign_public_classes(np.array([[5, -3, 9, 7]]), per_class=3) == ((2, 3, 0),)


def test_the_chosen_set_keeps_public_labels_without_gaps() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 8, 8)
    public = PublicDataset("toy", images, torch.arange(10) % 5, ("v", "w", "x", "y", "z"))
    chosen = Selection(np.zeros((1, 5), np.int64), ((3, 0),), ("all classes",), public.class_names).chosen_set(public)
    assert chosen.images[:, 0, 0, 0].tolist() == [0, 3, 5, 8]
    assert chosen.labels.tolist() == [0, 1, 0, 1]
    assert chosen.class_names == ("v", "y")


def test_without_rows_of_classes_the_label_does_not_enter_the_vote() -> None:
    classifier = ImageClassifier(1, 5, 4, generator=torch.Generator().manual_seed(0))
    images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    votes = TopClassVotes(OwnClassifier("cnn", classifier, torch.device("cpu")), 2, by_class=False)
    assert torch.equal(votes(images, labels), votes(images, labels.flip(0)))
    assert int(votes(images, labels).max()) < 5


def test_a_public_class_without_an_image_is_never_chosen() -> None:
    images, labels = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 3, 0, 1, 3])
    public = PublicDataset("toy", images, labels, ("v", "w", "x", "y", "z"))
    noisy = np.array([[0, 1, 900, 5, 800], [0, 7, 900, 2, 800]])  # noise can vote for anything
    chosen = Selection.of(noisy, ("a", "b"), public, per_class=1)
    assert chosen.chosen == ((3,), (1,))
    assert assign_public_classes(noisy, per_class=1) != chosen.chosen


def test_too_few_public_classes() -> None:
    with pytest.raises(InvalidValue, match=r"query\.classes_per_class"):
        assign_public_classes(np.zeros((3, 5), np.int64), per_class=6)


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=st.integers(0, 1000)),
    st.integers(1, 2),
)
def test_too_few_public_classes_are_shared_evenly_and_for_the_best(histogram: np.ndarray, per_class: int) -> None:
    rows, columns = histogram.shape
    per_class = min(per_class, columns)
    chosen = assign_public_classes(histogram, per_class=per_class)
    assert all(len(set(taken)) == per_class for taken in chosen)
    served = -(-rows * per_class // columns)
    assert max(Counter(c for taken in chosen for c in taken).values()) <= served
    shares = histogram / np.maximum(histogram.sum(axis=1, keepdims=True), 1)
    ways = itertools.product(itertools.combinations(range(columns), per_class), repeat=rows)
    allowed = (way for way in ways if max(Counter(c for taken in way for c in taken).values()) <= served)
    best = max(sum(shares[row, list(taken)].sum() for row, taken in enumerate(way)) for way in allowed)
    assert sum(shares[row, list(taken)].sum() for row, taken in enumerate(chosen)) == pytest.approx(best)


def test_images_of_a_shared_class_are_learnt_under_each_label() -> None:
    images = torch.arange(4, dtype=torch.uint8)[:, None, None, None].expand(4, 1, 8, 8)
    public = PublicDataset("toy", images, torch.tensor([0, 1, 0, 1]), ("v", "w"))
    selection = Selection.of(np.array([[9, 1], [8, 2], [1, 9]]), ("a", "b", "c"), public, per_class=1)
    assert selection.chosen == ((0,), (0,), (1,))
    shown, labels = selection.training_set(public)
    assert shown[:, 0, 0, 0].tolist() == [0, 0, 1, 2, 2, 3]
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
