"""One noisy mean image for each class; a sample is its class's mean image with some smooth public noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from dpgen import (
    Accountant,
    Budget,
    Charge,
    DatasetInfo,
    DpEvent,
    Generator,
    GeneratorConfig,
    Plan,
    PrivateDataset,
    Progress,
    PublicDataset,
    RunContext,
    SyntheticDataset,
    Tags,
    Task,
    calibrate,
)
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import Gaussian
from dpgen.mechanisms.context import public_generator
from dpgen.mechanisms.gaussian_sum import GaussianSum

LABEL = "class-means"


class BlurConfig(GeneratorConfig):
    """Settings of Blur: `[method]` of a configuration file."""

    clip_norm: float = Field(default=8.0, gt=0)
    """L2 norm that an image is scaled down to where it is longer."""
    variation: float = Field(default=0.1, ge=0)
    """Standard deviation of the smooth noise that makes samples of one class differ."""


@final
class Blur(Generator):
    """Noisy class means.

    Privacy: charges "class-means", one `Gaussian` for the sums of all classes together; the L2 sensitivity is
    `clip_norm`, because an image is scaled to that norm and adds to the sum of its own class alone. Sums are divided
    by the declared number of records, which is public; sampling is post-processing.
    """

    name = "blur"
    api_version = 1
    tags = Tags(conditional=True, resumable=True)
    Config = BlurConfig

    config: BlurConfig

    def __init__(self, config: BlurConfig | None = None) -> None:
        super().__init__(config)
        self._means: Tensor | None = None
        self._class_names: tuple[str, ...] = ()

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """One charge, with as much noise as the whole budget asks for."""

        def event(noise_multiplier: float) -> DpEvent:
            return self._sums(task.info, noise_multiplier).event(budget.relation)

        return Plan((Charge(LABEL, event(calibrate(accountant, budget, event))),))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Release the sums of all classes at once and divide them by the public class size."""
        planned, info = plan[LABEL], private.info
        if not isinstance(planned, Gaussian):
            raise PlanMismatch(expected=f"a Gaussian event under {LABEL!r}", got=str(planned))
        mechanism = self._sums(info, planned.noise_multiplier)
        sums = context.once(LABEL, lambda: {"sums": private.release(mechanism, label=LABEL)})["sums"]
        images_per_class = info.nominal_records / info.classes
        self._means = (sums.cpu().reshape(info.classes, *info.shape) / images_per_class).clamp(0, 1).float()
        self._class_names = info.class_names

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """`count` images: the mean of the class, plus noise that varies slowly over the image."""
        if self._means is None:
            raise InvalidValue("expected a fitted generator; found none. Call `fit` or `load_state_dict` first.")
        classes, channels, height, width = self._means.shape
        labels = torch.arange(count) % classes if labels is None else labels
        if labels.shape != (count,) or not ((labels >= 0) & (labels < classes)).all():
            raise InvalidValue(f"expected {count} labels in 0..{classes - 1}; found others. Give one label per image.")
        coarse = torch.randn(count, channels, 4, 4, generator=public_generator(seed, "blur"))
        smooth = interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
        images = (self._means[labels] + self.config.variation * smooth).clamp(0, 1)
        return SyntheticDataset(images, labels, self._class_names)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean images, which were released."""
        if self._means is None:
            raise InvalidValue("expected a fitted generator; found none. Call `fit` first.")
        return {"means": self._means}

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """Take the mean images of an earlier fit."""
        self._means, self._class_names = state["means"], task.info.class_names

    def _sums(self, info: DatasetInfo, noise_multiplier: float) -> GaussianSum:
        return GaussianSum(
            vectors=ClassRows(info.classes),
            dimension=info.classes * math.prod(info.shape),
            clip_norm=self.config.clip_norm,
            noise_multiplier=noise_multiplier,
        )


class ClassRows:
    """Turns an image into a row per class: its pixels in the row of its own class, zeros in the others."""

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """`[n, classes * pixels]`, of the same L2 norms as the images."""
        rows = torch.zeros(len(images), self._classes, images[0].numel(), dtype=images.dtype)
        rows[torch.arange(len(images)), labels] = images.flatten(1)
        return rows.flatten(1)
