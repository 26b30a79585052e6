"""The honest order of an evaluation: train, choose, fix; then look at the private test split once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from dpgen.data.datasets import PublicDataset, SyntheticDataset
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Metric, Score, Touched
from dpgen.evaluation.extractor import FeatureExtractor, PixelCosines, PublicFeatures
from dpgen.evaluation.metrics import Accuracy, FrechetDistance, PrecisionRecall
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.scores import Scores
from dpgen.evaluation.selection import FixedClassifier, select_classifier
from dpgen.mechanisms.context import Progress, SilentProgress


@final
class Protocol:
    """Scores one synthetic set against one private test split, once.

    Privacy: reads private records without protection. Every score says that it is not part of the DP release; keep
    them in `internal/`. The classifier is trained on one part of the synthetic images and chosen on the rest; features
    come from the public set, or are fixed cosines where there is none. Nothing is chosen after the split is opened.

    Args: `metrics` default to accuracy, Fréchet distance, precision and recall; `recipe` to the one for the shape;
    `seed` is public: equal seeds and images give equal scores on one machine.
    """

    def __init__(
        self,
        test: TestSplit,
        public: PublicDataset | None = None,
        *,
        metrics: Sequence[Metric] | None = None,
        recipe: Recipe | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        if public is not None and public.shape != test.shape:
            raise DataError(
                f"the public images must have the shape of the test images, {tuple(test.shape)}; "
                f"found {tuple(public.shape)}. Resize them when loading."
            )
        self._test, self._public = test, public
        self._metrics = (Accuracy(), FrechetDistance(), PrecisionRecall()) if metrics is None else tuple(metrics)
        self._recipe = recipe or Recipe.for_shape(test.shape)
        self._seed, self._device, self._progress = seed, torch.device(device), progress or SilentProgress()

    def evaluate(self, synthetic: SyntheticDataset) -> Scores:
        """Every score of `synthetic`.

        Raises: `TestSetReused` when the test split was opened before; `DataError` when shapes or classes differ, or
        a metric has too few images. Both before any training where they can be known before.
        """
        self._test.require_unopened()
        self._check(synthetic)
        classifier = select_classifier(
            synthetic, self._recipe, seed=self._seed, device=self._device, progress=self._progress
        )
        extractor = self._extractor()
        with self._progress.track("evaluate: scores", 1 + len(self._metrics)) as advance:
            evidence = self._open(synthetic, classifier, extractor)
            advance(1)
            scores = [_held_out_score(classifier)]
            for metric in self._metrics:
                scores.extend(metric.measure(evidence))
                advance(1)
        return Scores(scores=tuple(scores), selection=self._selection(synthetic, classifier))

    def _open(self, synthetic: SyntheticDataset, classifier: FixedClassifier, extractor: FeatureExtractor) -> Evidence:
        """The only place that opens the test split."""
        synthetic_features = extractor(synthetic.images)
        images, labels = self._test.open(classifier)
        return Evidence(
            reference_features=extractor(images),
            synthetic_features=synthetic_features,
            reference_labels=labels.numpy(),
            predicted_labels=classifier.predict(images),
            class_names=self._test.class_names,
            extractor=extractor.identity,
            classifier=classifier.name,
            touched=Touched.PRIVATE_TEST,
        )

    def _extractor(self) -> FeatureExtractor:
        if self._public is None:
            return PixelCosines(self._test.shape)
        return PublicFeatures.train(
            self._public,
            steps=self._recipe.feature_steps,
            width=self._recipe.width,
            augmentation=self._recipe.augmentation,
            seed=self._seed,
            device=self._device,
            progress=self._progress,
        )

    def _selection(self, synthetic: SyntheticDataset, classifier: FixedClassifier) -> dict[str, object]:
        return {
            "chosen_on": "held-out synthetic images",
            "classifier": classifier.name,
            "held_out_accuracy": classifier.held_out_accuracy,
            "synthetic_images": len(synthetic),
            "public_data": None if self._public is None else self._public.name,
            "seed": self._seed,
            "recipe": self._recipe.to_json(),
        }

    def _check(self, synthetic: SyntheticDataset) -> None:
        if tuple(synthetic.images.shape[1:]) != tuple(self._test.shape):
            raise DataError(
                f"the synthetic images must have the shape of the test images, {tuple(self._test.shape)}; "
                f"found {tuple(synthetic.images.shape[1:])}. Generate them in that shape."
            )
        if tuple(synthetic.class_names) != self._test.class_names:
            raise DataError(
                f"the synthetic classes must be those of the test split, {self._test.class_names}; "
                f"found {synthetic.class_names}. Give both the same names in the same order."
            )


def _held_out_score(classifier: FixedClassifier) -> Score:
    """What a user may also see in a release: it was measured on synthetic images alone."""
    return Score("held_out_synthetic_accuracy", classifier.held_out_accuracy, classifier.name, Touched.SYNTHETIC)
