"""How the networks of an evaluation are trained; fixed before any synthetic image is scored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dpgen import validate
from dpgen.data.info import Shape
from dpgen.errors import InvalidValue, UnknownName
from dpgen.networks.augment import GENTLE, PHOTOGRAPH, Augmentation
from dpgen.networks.classifiers import CLASSIFIERS


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Public settings of the downstream classifier and of the feature network.

    Tuned on real images only, never by the score of a synthetic set. Noise, contrast and brightness of the augmentation
    keep the classifier from learning the speckle that a generator leaves on a background.
    """

    steps: int = 1000
    """Optimiser steps of each candidate classifier."""
    feature_steps: int = 300
    """Optimiser steps of the feature network on the public set."""
    batch: int = 128
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule (AdamW)."""
    width: int = 24
    """Channels of the first convolution of both networks."""
    classifiers: tuple[str, ...] = ("cnn",)
    """Architectures, of `dpgen.networks.classifiers.CLASSIFIERS`."""
    candidates: int = 1
    """Trainings of each architecture from different public draws."""
    held_out: float = 0.1
    """Share of the synthetic images of each class that chooses among snapshots and candidates and trains nothing."""
    augmentation: Augmentation = GENTLE

    def __post_init__(self) -> None:
        validate.count(1, steps=self.steps, feature_steps=self.feature_steps, batch=self.batch)
        validate.count(1, width=self.width, candidates=self.candidates)
        for name in self.classifiers:
            if name not in CLASSIFIERS:
                raise UnknownName("classifier", name, CLASSIFIERS, "Choose among them in `classifiers`.")
        if not self.classifiers:
            raise InvalidValue("a recipe needs at least one classifier; found none. Name one, such as 'cnn'.")
        validate.positive(learning_rate=self.learning_rate)
        validate.open_unit(held_out=self.held_out)

    @staticmethod
    def for_shape(shape: Shape) -> Recipe:
        """The recipe for images of this shape: half the steps up to 16 px, photograph augmentation for colour."""
        steps = 500 if max(shape.height, shape.width) <= 16 else 1000
        return Recipe(steps=steps, augmentation=GENTLE if shape.channels == 1 else PHOTOGRAPH)

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON data."""
        return asdict(self)
