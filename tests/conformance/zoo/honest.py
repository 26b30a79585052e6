"""A generator and a mechanism without a fault; every faulty one overrides the method that its fault is in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dpgen import (
    REPLACE_ONE,
    Charge,
    DatasetInfo,
    DpEvent,
    Generator,
    GeneratorConfig,
    Mechanism,
    NeighboringRelation,
    Plan,
    SyntheticDataset,
    Tags,
    calibrate,
)
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian
from dpgen.mechanisms.context import public_generator
from dpgen.mechanisms.discreet import discreet

LABEL = "class-sums"
CLIP = 4.0


@dataclass(frozen=True, kw_only=True)
class Sums(Mechanism[Tensor]):
    """The sum of the images of each class. Privacy: `Gaussian`, each image clipped to norm `clip`."""

    name: ClassVar[str] = "zoo_sums"
    info: DatasetInfo
    noise_multiplier: float = 2.0
    clip: float = CLIP

    def event(self, relation: NeighboringRelation) -> DpEvent:
        return Gaussian(self.noise_multiplier)

    def sensitivity(self, relation: NeighboringRelation) -> float:
        return self.clip * (2 if relation is REPLACE_ONE else 1)

    def _measure(self, records: Any, *, noise: Any, relation: NeighboringRelation, context: Any) -> Tensor:
        total = torch.zeros(self.info.classes * math.prod(self.info.shape), dtype=torch.float64)
        with context.progress.track("sums", 1) as advance:
            for first in range(0, len(records.ids), context.physical_batch):
                images, labels = records.batch(records.ids[first : first + context.physical_batch])
                with discreet("labels"):
                    total += self.contributions(images, labels).sum(0)
            advance(1)
        return self.noised(total, noise, relation)

    def noised(self, total: Tensor, noise: Any, relation: NeighboringRelation) -> Tensor:
        deviation = self.noise_multiplier * self.clip
        sensitivity = self.sensitivity(relation)
        return torch.from_numpy(noise.gaussian(total.numpy(), standard_deviation=deviation, sensitivity=sensitivity))

    def contributions(self, images: Tensor, labels: Tensor) -> Tensor:
        return clipped(self.rows(images.double(), labels), self.clip)

    def rows(self, images: Tensor, labels: Tensor) -> Tensor:
        classes = F.one_hot(labels, self.info.classes)
        return (classes[:, :, None] * images.flatten(1)[:, None]).flatten(1)


def clipped(rows: Tensor, clip: float) -> Tensor:
    return rows * (clip / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)


class Means(Generator):
    """Noisy class means. Privacy: charges "class-sums", one `Gaussian`; each image is clipped."""

    name: ClassVar[str] = "zoo_means"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = GeneratorConfig
    mechanism: ClassVar[type[Sums]] = Sums

    means: Tensor | None = None

    def plan(self, task: Any, budget: Any, accountant: Any) -> Plan:
        return Plan((Charge(LABEL, Gaussian(calibrate(accountant, budget, Gaussian))),))

    def fit(self, private: Any, public: Any, plan: Plan, context: Any) -> None:
        sums = context.once(LABEL, lambda: {"sums": self.release(private, plan, context)})["sums"]
        self.finish(sums, private.info)

    def release(self, private: Any, plan: Plan, context: Any) -> Tensor:
        noise_multiplier = plan[LABEL].noise_multiplier  # type: ignore[attr-defined]
        return private.release(self.mechanism(info=private.info, noise_multiplier=noise_multiplier), label=LABEL)

    def finish(self, sums: Tensor, info: DatasetInfo) -> None:
        self.means = (sums.reshape(info.classes, *info.shape) / (info.nominal_records / info.classes)).float()
        self.class_names = info.class_names

    def sample(self, count: int, *, labels: Any = None, seed: int, progress: Any = None) -> SyntheticDataset:
        means = self.require_fitted()
        labels = torch.arange(count) % len(means) if labels is None else labels
        self.check_labels(labels, count, len(means))
        return SyntheticDataset(self.draw(means, labels, seed), labels, self.class_names)

    def draw(self, means: Tensor, labels: Tensor, seed: int) -> Tensor:
        grain = torch.randn((len(labels), *means.shape[1:]), generator=public_generator(seed, "zoo"))
        return (means[labels] + 0.05 * grain).clamp(0, 1)

    def require_fitted(self) -> Tensor:
        if self.means is None:
            raise InvalidValue("expected a fitted generator; found a fresh one. Call `fit` first.")
        return self.means

    def check_labels(self, labels: Tensor, count: int, classes: int) -> None:
        if labels.shape != (count,) or not bool(((labels >= 0) & (labels < classes)).all()):
            raise InvalidValue("expected one label of a declared class for each image; found others. Give such.")

    def state_dict(self) -> dict[str, Tensor]:
        return {"means": self.require_fitted()}

    def load_state_dict(self, state: Any, task: Any) -> None:
        self.means, self.class_names = state["means"], task.info.class_names
