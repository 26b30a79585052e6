"""The smallest generator with all the parts of a real one, and made-up images: for tests that shall take a second.

`ToyGenerator` releases noisy class means, refines them by a few steps of DP-SGD on a linear model, and samples by
adding public noise to them. It has a query, a public phase, a training, published facts, and a state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.split import Part, split_budget
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import Shape
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress, public_generator
from dpgen.mechanisms.dp_sgd import DpSgd, dp_sgd_event
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.noise import RowRandom
from dpgen.plugins.hookspecs import hookimpl

MEANS, REFINE = "class-means", "refine"
SHAPE = Shape(1, 8, 8)


def toy_images(
    count: int, *, classes: int = 3, shape: Shape = SHAPE, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Made-up images that a linear model can tell apart: each class brightens its own band of rows.

    Returns: uint8 `[count, height, width, channels]` and int64 labels `[count]`, every class as often as the others.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % classes
    images = random.integers(0, 80, (count, shape.height, shape.width, shape.channels))
    band = np.arange(shape.height) * classes // shape.height
    images = np.where((band[None] == labels[:, None])[:, :, None, None], images + 150, images)
    return images.astype(np.uint8), labels


class ToyConfig(GeneratorConfig):
    """Settings of `ToyGenerator`."""

    means_share: float = Field(0.3, gt=0, lt=1, description="epsilon of the class means, as a share of the run's")
    expected_batch: float = Field(32, gt=0)
    steps: int = Field(8, ge=1)
    clip_norm: float = Field(1.0, gt=0)
    learning_rate: float = Field(0.05, gt=0)
    grain: float = Field(0.05, ge=0, description="deviation of the public noise on a sample")


@final
class ToyGenerator(Generator):
    """Noisy class means, refined by DP-SGD.

    Privacy: charges "class-means" (`Gaussian`: per class a count and a sum of images of norm at most 1) and "refine"
    (`PoissonSampled(Gaussian)` composed over the steps). A public set, if given, only sets the means' starting point.
    """

    name: ClassVar[str] = "toy"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = ToyConfig
    cites: ClassVar[tuple[str, ...]] = ("Class means with Gaussian noise: dpgen's own toy, not a published method.",)

    config: ToyConfig
    _weight: Tensor | None = None  # [pixels, classes], in [0, 1] but for noise
    _task_shape: Shape
    _class_names: tuple[str, ...]

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the means from their share of the budget, that of DP-SGD from what is left."""
        probability = self._probability(task.info.nominal_records)
        means = Part(MEANS, Gaussian, share=self.config.means_share)
        refine = Part(REFINE, lambda noise_multiplier: self._training(noise_multiplier, probability))
        note = f"the class means take {self.config.means_share:.0%} of the budget's epsilon"
        return replace(split_budget(accountant, budget, (means, refine)).plan, notes=(note,))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Means, public blend, DP-SGD; each finished phase is kept for a resumed run."""
        self._class_names, self._task_shape = private.info.class_names, private.info.shape
        means = context.once("means", lambda: {"means": self._means(private, plan)})["means"]
        context.publish("means.json", json.dumps({"class": _brightness(means, self._class_names)}).encode())
        start = context.once("public", lambda: {"weight": self._start(means, public, context)})["weight"]
        self._weight = context.once("refine", lambda: self._refine(private, plan, start))["weight"]

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        if self._weight is None:
            raise InvalidValue("a toy generator samples once it is fitted; found it fresh. Call `fit` first.")
        if labels is None:
            labels = torch.arange(count) % len(self._class_names)
        if labels.shape != (count,) or not bool(((labels >= 0) & (labels < len(self._class_names))).all()):
            raise InvalidValue(f"labels must be [{count}] in 0..{len(self._class_names) - 1}; found others.")
        with (progress or SilentProgress()).track("sample", count) as advance:
            grain = torch.randn((count, len(self._weight)), generator=public_generator(seed, "toy sample"))
            pixels = self._weight.cpu().T[labels] + self.config.grain * grain
            advance(count)
        return SyntheticDataset(pixels.clamp(0, 1).reshape(count, *self._task_shape), labels, self._class_names)

    def state_dict(self) -> dict[str, Tensor]:
        """The refined class means."""
        if self._weight is None:
            raise InvalidValue("a toy generator has a state once it is fitted; found it fresh. Call `fit` first.")
        return {"weight": self._weight}

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._weight = state["weight"]
        self._task_shape, self._class_names = task.info.shape, task.info.class_names

    def _probability(self, nominal_records: int) -> float:
        return min(1.0, self.config.expected_batch / nominal_records)

    def _training(self, noise_multiplier: float, probability: float) -> DpEvent:
        return dp_sgd_event(
            noise_multiplier=noise_multiplier, sampling_probability=probability, steps=self.config.steps
        )

    def _means(self, private: PrivateDataset, plan: Plan) -> Tensor:
        """Class means `[classes, pixels]`: noisy sums over noisy counts, both from one release."""
        classes = private.info.classes
        mechanism = GaussianSum(
            vectors=partial(_class_vectors, classes=classes),
            dimension=classes * (1 + _pixels(private.info.shape)),
            clip_norm=1.0,
            noise_multiplier=plan.of_kind(MEANS, Gaussian).noise_multiplier,
            phase=MEANS,
        )
        sums = private.release(mechanism, label=MEANS).reshape(classes, -1)
        scale = math.sqrt(_pixels(private.info.shape))  # undo what _class_vectors divides by
        return (scale * sums[:, 1:] / sums[:, :1].clamp(min=1.0)).float().clamp(0, 1)

    def _start(self, means: Tensor, public: PublicDataset | None, context: RunContext) -> Tensor:
        """The weight that DP-SGD starts from: the means, with a tenth of the mean public image mixed in."""
        with context.progress.track("public", 1) as advance:
            base = means if public is None else 0.9 * means + 0.1 * (public.images.float() / 255).mean(0).flatten()
            advance(1)
        return base.T.contiguous()

    def _refine(self, private: PrivateDataset, plan: Plan, start: Tensor) -> dict[str, Tensor]:
        match plan[REFINE]:
            case SelfComposed(event=PoissonSampled(event=Gaussian(noise_multiplier=noise_multiplier))):
                pass
            case other:
                raise PlanMismatch(expected=f"a DP-SGD event under {REFINE!r}", got=str(other))
        module = nn.Linear(start.shape[1], start.shape[0], bias=False, device="meta").to_empty(device="cpu")
        module.load_state_dict({"weight": start})
        mechanism = DpSgd(
            module=module,
            inputs=partial(_rows, classes=private.info.classes),
            loss=_row_losses,
            clip_norm=self.config.clip_norm,
            noise_multiplier=noise_multiplier,
            sampling_probability=self._probability(private.info.nominal_records),
            steps=self.config.steps,
            nominal_records=private.info.nominal_records,
            optimizer=partial(torch.optim.SGD, lr=self.config.learning_rate),
            phase=REFINE,
        )
        return private.release(mechanism, label=REFINE).weights


class ToyPlugin:
    """A plugin that brings the toy generator: `registry.register(ToyPlugin, name="toy")`."""

    @staticmethod
    @hookimpl
    def dpgen_register_generators() -> list[type[Generator]]:
        """The toy."""
        return [ToyGenerator]


def _pixels(shape: Shape) -> int:
    return shape.channels * shape.height * shape.width


def _class_vectors(images: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    """Per record a 1 and its pixels (scaled to norm at most 1) in the place of its class, zeros elsewhere."""
    flat = images.flatten(1) / images[0].numel() ** 0.5
    own = torch.cat([torch.ones(len(flat), 1), flat], dim=1)
    return (F.one_hot(labels, classes)[:, :, None] * own[:, None]).flatten(1)


def _rows(images: Tensor, labels: Tensor, *, views: int, random: RowRandom, classes: int) -> tuple[Tensor, Tensor]:
    return F.one_hot(labels, classes).float().repeat_interleave(views, 0), images.flatten(1).repeat_interleave(views, 0)


def _row_losses(module: nn.Module, ones: Tensor, pixels: Tensor) -> Tensor:
    losses: Tensor = ((module(ones) - pixels) ** 2).sum(1)
    return losses


def _brightness(means: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: {"noisy_mean_brightness": round(float(mean), 3)} for name, mean in zip(names, means.mean(1), strict=True)
    }
