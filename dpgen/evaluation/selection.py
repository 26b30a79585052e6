"""Choosing the downstream classifier with synthetic images alone, and fixing it before real ones are seen."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from dpgen.data.datasets import SyntheticDataset
from dpgen.errors import DataError, SelectionOnTest
from dpgen.evaluation.base import Labels
from dpgen.evaluation.recipe import Recipe
from dpgen.mechanisms.context import Progress, public_generator
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import accuracy, predict
from dpgen.networks.training import train_classifier

_PHASE = "evaluate: classifier"


@final
class FixedClassifier:
    """A classifier whose choice is over: its weights can no longer change without being noticed.

    `held_out_accuracy` is its accuracy on the synthetic images that it was chosen by.
    """

    def __init__(self, network: ImageClassifier, *, held_out_accuracy: float) -> None:
        self._network = network.requires_grad_(False).eval()
        self._digest = weights_digest(network)
        self.held_out_accuracy = held_out_accuracy

    @property
    def name(self) -> str:
        """`synthetic-cnn@` and the first eight digits of the weights' SHA-256."""
        return f"synthetic-cnn@{self._digest[:8]}"

    def require_unchanged(self) -> None:
        """Raises: `SelectionOnTest` when a weight has changed since the choice."""
        if weights_digest(self._network) != self._digest:
            raise SelectionOnTest(
                "the classifier must stay as it was chosen on synthetic images; found changed weights. "
                "Train and choose first, then open the test split once."
            )

    def predict(self, images: Tensor) -> Labels:
        """The most likely class of each image, int64 `[n]`. Raises: `SelectionOnTest` as above."""
        self.require_unchanged()
        return predict(self._network, images).argmax(1).numpy()


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


def select_classifier(
    synthetic: SyntheticDataset, recipe: Recipe, *, seed: int, device: torch.device, progress: Progress
) -> FixedClassifier:
    """Train the candidates on one part of the synthetic images and fix the one that is best on the other part.

    Privacy: post-processing of a release; no real image is at hand. `seed` is public. Of equals the first one wins.
    """
    split = public_generator(seed, "evaluate: held-out synthetic images")
    train, choose = split_synthetic(synthetic.labels, held_out=recipe.held_out, generator=split)
    validation = (synthetic.images[choose], synthetic.labels[choose])
    best: tuple[float, ImageClassifier] | None = None
    for candidate in range(recipe.candidates):
        draws = public_generator(seed, f"{_PHASE} {candidate}")
        network = train_classifier(
            ImageClassifier(synthetic.images.shape[1], len(synthetic.class_names), recipe.width, generator=draws),
            synthetic.images[train],
            synthetic.labels[train],
            steps=recipe.steps,
            batch=recipe.batch,
            learning_rate=recipe.learning_rate,
            augmentation=recipe.augmentation,
            generator=draws,
            validation=validation,
            progress=progress,
            phase=_PHASE,
            device=device,
        )
        score = accuracy(network, *validation)
        if best is None or score > best[0]:
            best = score, network
    assert best is not None, "a recipe has at least one candidate"
    return FixedClassifier(best[1], held_out_accuracy=best[0])
