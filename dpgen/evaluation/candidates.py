"""Every classifier that could be reported: each architecture, at several moments of its training."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Shape
from dpgen.errors import DataError
from dpgen.evaluation.recipe import Recipe
from dpgen.mechanisms.context import Progress, public_generator
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.classifiers import build_classifier
from dpgen.networks.inference import accuracy
from dpgen.networks.training import train_classifier

_PHASE = "evaluate: classifier"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One classifier at one moment of its training; `held_out_accuracy` is on synthetic images that trained nothing."""

    network: Classifier
    classifier: str
    """Architecture, by name."""
    training: int
    """Which training of the recipe it comes from, counted over architectures and repetitions."""
    seed: int
    """Public seed of the evaluation."""
    step: int
    held_out_accuracy: float


def train_candidates(
    synthetic: SyntheticDataset, recipe: Recipe, *, seed: int, device: torch.device, progress: Progress
) -> tuple[Candidate, ...]:
    """All architectures of the recipe, each from `recipe.candidates` public seeds, at five moments of training.

    Privacy: post-processing of a release; no real image is at hand. Order: by training, then by step.
    """
    split = public_generator(seed, "evaluate: held-out synthetic images")
    train, held_out = split_synthetic(synthetic.labels, held_out=recipe.held_out, generator=split)
    found: list[Candidate] = []
    for training in range(len(recipe.classifiers) * recipe.candidates):
        name = recipe.classifiers[training // recipe.candidates]
        found += _trained(synthetic, (train, held_out), recipe, name, training, seed, device, progress)
    return tuple(found)


def _trained(
    synthetic: SyntheticDataset,
    rows: tuple[Tensor, Tensor],
    recipe: Recipe,
    name: str,
    training: int,
    seed: int,
    device: torch.device,
    progress: Progress,
) -> list[Candidate]:
    """The moments of one training."""
    train, held_out = rows
    draws = public_generator(seed, f"{_PHASE} {training}")
    shape = Shape(*synthetic.images.shape[1:])
    network = build_classifier(name, shape, len(synthetic.class_names), width=recipe.width, generator=draws)
    moments: list[Candidate] = []

    def keep(step: int) -> None:
        score = accuracy(network, synthetic.images[held_out], synthetic.labels[held_out])
        moments.append(Candidate(copy.deepcopy(network).eval(), name, training, seed, step, score))

    train_classifier(
        network,
        synthetic.images[train],
        synthetic.labels[train],
        steps=recipe.steps,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        augmentation=recipe.augmentation,
        generator=draws,
        snapshot=keep,
        progress=progress,
        phase=_PHASE,
        device=device,
    )
    return moments


def split_synthetic(labels: Tensor, *, held_out: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows to choose by: `held_out` of each class, at least one, by a public shuffle.

    Raises: `DataError` when a class that occurs has a single image only.
    """
    train, choose = [], []
    for label in torch.unique(labels).tolist():
        rows = torch.nonzero(labels == label).flatten()
        if len(rows) < 2:
            raise DataError(
                f"expected at least two synthetic images of each class that occurs; found one of class {label}. "
                "Sample more images."
            )
        rows = rows[torch.randperm(len(rows), generator=generator)]
        take = min(len(rows) - 1, max(1, round(held_out * len(rows))))
        choose.append(rows[:take])
        train.append(rows[take:])
    return torch.cat(train), torch.cat(choose)
