"""How synthetic images are scored: the settings of `[evaluation]`, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from dpgen.config.tables import EvaluationConfig
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import Shape
from dpgen.errors import ConfigError
from dpgen.evaluation.base import Metric
from dpgen.evaluation.extractor import FeatureExtractor, Setting
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.protocol import Protocol, standard_metrics
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.requirements import require_enough
from dpgen.evaluation.selection import Selection
from dpgen.mechanisms.context import Progress, SilentProgress
from dpgen.plugins.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The metrics, the extractor and the classifiers of an evaluation, by the names of a configuration."""

    metrics: tuple[Metric, ...]
    extractor: type[FeatureExtractor] | None
    """None: features learnt from the public images, or fixed cosines where there are none."""
    weights: Path | None
    recipe: Recipe
    seeds: int = 1
    diagnostics: bool = False
    tuning: str = "not_stated"

    @property
    def needs_training(self) -> bool:
        """Does a metric look for copies of the private training images?"""
        return any("training_features" in metric.needs for metric in self.metrics)

    def require_ready(self, *, test: int, synthetic: int, shape: Shape) -> None:
        """Will these numbers of images do for each metric, and is the file of weights whole?

        Raises: `DataError`, so that a run does not fail at its end, after its charges.
        """
        require_enough(self.metrics, test=test, synthetic=synthetic)
        if self.extractor is not None and self.weights is not None:
            self.extractor.build(Setting(shape=shape, weights=self.weights, recipe=self.recipe))

    def protocol(
        self,
        test: TestSplit,
        public: PublicDataset | None,
        *,
        selection: Selection | None = None,
        training: Tensor | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> Protocol:
        """The protocol of these settings. Raises: `DataError` for images or weights that do not fit."""
        shown, place = progress or SilentProgress(), torch.device(device)
        extractor = None
        if self.extractor is not None:
            setting = Setting(
                shape=test.shape,
                public=public,
                weights=self.weights,
                recipe=self.recipe,
                seed=seed,
                device=place,
                progress=shown,
            )
            extractor = self.extractor.build(setting)
        return Protocol(
            test,
            public,
            metrics=self.metrics,
            recipe=self.recipe,
            selection=selection,
            extractor=extractor,
            training=training,
            seed=seed,
            seeds=self.seeds,
            diagnostics=self.diagnostics,
            tuning=self.tuning,
            device=place,
            progress=shown,
        )


def scoring(wanted: EvaluationConfig, registry: Registry, shape: Shape, *, has_public: bool) -> Scoring:
    """The settings in `wanted`, for images of this shape. Nothing is loaded or trained.

    Raises: `UnknownName` for a metric, extractor or classifier; `ConfigError` for an extractor that lacks what it
    needs, or a file of weights that nothing reads.
    """
    kind = None if wanted.extractor is None else registry.feature_extractor(wanted.extractor)
    needs = () if kind is None else kind.needs
    if "weights" in needs and wanted.weights is None:
        raise ConfigError(f"extractor {wanted.extractor!r} needs a file of weights; found none. {_mend(needs)}")
    if wanted.weights is not None and "weights" not in needs:
        raise ConfigError(
            f"expected an extractor that reads the file of weights; found {wanted.extractor or 'none'}. "
            "Name one (evaluation.extractor, --extractor), or leave the weights out."
        )
    if "public" in needs and not has_public:
        raise ConfigError(f"extractor {wanted.extractor!r} learns from public images; found none. {_mend(needs)}")
    return Scoring(
        metrics=_metrics(wanted.metrics, registry),
        extractor=kind,
        weights=None if wanted.weights is None else Path(wanted.weights).expanduser(),
        recipe=_recipe(wanted, shape),
        seeds=wanted.seeds,
        diagnostics=wanted.diagnostics,
        tuning=wanted.tuning,
    )


def _mend(needs: Sequence[str]) -> str:
    if "weights" in needs:
        return "Give its path (evaluation.weights, --weights); docs/explanation/evaluation.md says where it comes from."
    return "Give a public set (data.public, --public), or take pixel_cosines."


def _metrics(names: Sequence[str] | None, registry: Registry) -> tuple[Metric, ...]:
    if names is None:
        return standard_metrics()
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"expected metrics, each once; found {', '.join(names) or 'none'}. Known: {', '.join(registry.metrics())}."
        )
    return tuple(registry.metric(name)() for name in names)


def _recipe(wanted: EvaluationConfig, shape: Shape) -> Recipe:
    recipe = Recipe.for_shape(shape)
    return replace(
        recipe,
        steps=wanted.steps or recipe.steps,
        feature_steps=wanted.feature_steps or recipe.feature_steps,
        classifiers=tuple(wanted.classifiers),
        candidates=wanted.candidates,
    )
