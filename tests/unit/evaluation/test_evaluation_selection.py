"""The classifier learns from one part of the synthetic images and is chosen by the other: no image is in both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Shape
from dpgen.evaluation import candidates
from dpgen.evaluation.recipe import Recipe
from dpgen.mechanisms.context import SilentProgress

COUNT = 20


def grey(some: torch.Tensor) -> set[int]:
    """Which images these are."""
    return {round(v * COUNT) for v in some[:, 0, 0, 0].tolist()}


@pytest.fixture
def parts(monkeypatch) -> list[tuple[set[int], set[int]]]:
    """Which images, by their grey value, each training was given to learn from, and was judged by."""
    seen = []

    def recorded(network, images, labels, *, snapshot, **settings):
        seen.append((grey(images), set()))
        snapshot(1)
        return network

    def judged(network, images, labels):
        seen[-1][1].update(grey(images))
        return 0.5

    monkeypatch.setattr(candidates, "train_classifier", recorded)
    monkeypatch.setattr(candidates, "accuracy", judged)
    return seen


def test_what_is_chosen_by_is_not_learnt_from(parts):
    images = (torch.arange(COUNT) / COUNT)[:, None, None, None].expand(COUNT, 1, 8, 8)
    synthetic = SyntheticDataset(images, torch.arange(COUNT) % 2, ("a", "b"))
    recipe = replace(Recipe.for_shape(Shape(1, 8, 8)), candidates=2)
    candidates.train_candidates(synthetic, recipe, seed=0, device=torch.device("cpu"), progress=SilentProgress())
    assert len(parts) == 2
    for learnt_from, chosen_by in parts:
        assert learnt_from
        assert chosen_by
        assert not learnt_from & chosen_by
        assert learnt_from | chosen_by == set(range(COUNT))
