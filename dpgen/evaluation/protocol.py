"""The honest order of an evaluation: train, choose, fix; then look at the private test split once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from dpgen import validate
from dpgen.data.datasets import PublicDataset, SyntheticDataset
from dpgen.errors import DataError
from dpgen.evaluation.base import Evidence, Features, Metric, Score, Touched
from dpgen.evaluation.candidates import Candidate, train_candidates
from dpgen.evaluation.extractor import FeatureExtractor, PixelCosines, PublicFeatures, Setting
from dpgen.evaluation.image_counts import image_counts
from dpgen.evaluation.metrics import Accuracy, FrechetDistance, PrecisionRecall
from dpgen.evaluation.private_test import TestSplit
from dpgen.evaluation.recipe import Recipe
from dpgen.evaluation.requirements import require_enough, require_evidence, require_like
from dpgen.evaluation.scores import Scores
from dpgen.evaluation.selection import FixedClassifier, HeldOutSynthetic, Selection, fixed
from dpgen.evaluation.spread import best_on_test, fixed_trainings, over_trainings
from dpgen.mechanisms.context import Progress, SilentProgress


@final
class Protocol:
    """Scores one synthetic set against one private test split, once.

    Privacy: reads private records without protection. Every score says that it is not part of the DP release; keep
    them in `internal/`. Classifiers are trained on one part of the synthetic images; `selection` names the one that
    counts, and all that will look at the test split are fixed before it is opened. Nothing is chosen afterwards.

    Args: `metrics` default to accuracy, Fréchet distance, precision and recall; `recipe` to the one for the shape;
    `selection` to the best on held-out synthetic images; `extractor` to features learnt from the public set, or fixed
    cosines where there is none. `training`: the private training images, for metrics that look for copies. `seed` is
    public: equal seeds and images give equal scores on one machine. With `seeds` > 1 the classifiers are trained for
    `seed`, `seed` + 1 and so on, and a score gives mean and deviation over all trainings. `diagnostics` adds the best
    accuracy on the test split over everything trained: chosen on the test split, so labelled and never a result.
    `tuning` states how the settings were chosen, word for word as in `evaluation.tuning`; it is kept with the scores.
    """

    def __init__(
        self,
        test: TestSplit,
        public: PublicDataset | None = None,
        *,
        metrics: Sequence[Metric] | None = None,
        recipe: Recipe | None = None,
        selection: Selection | None = None,
        extractor: FeatureExtractor | None = None,
        training: Tensor | None = None,
        seed: int = 0,
        seeds: int = 1,
        diagnostics: bool = False,
        tuning: str = "not_stated",
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        validate.count(1, seeds=seeds)
        if public is not None and public.shape != test.shape:
            raise DataError(
                f"the public images must have the shape of the test images, {tuple(test.shape)}; "
                f"found {tuple(public.shape)}. Resize them when loading."
            )
        self._test, self._public, self._training = test, public, training
        self._metrics = standard_metrics() if metrics is None else tuple(metrics)
        self._recipe, self._rule = recipe or Recipe.for_shape(test.shape), selection or HeldOutSynthetic()
        self._extractor, self._seed, self._seeds, self._diagnostics = extractor, seed, seeds, diagnostics
        self._tuning = tuning
        self._device, self._progress = torch.device(device), progress or SilentProgress()

    def evaluate(self, synthetic: SyntheticDataset) -> Scores:
        """Every score of `synthetic`.

        Raises: `TestSetReused` when the test split was opened before; `DataError` when shapes or classes differ, a
        metric has too few images or lacks what it needs. Before any training where it can be known before. What the
        selection raises, before the test split is opened.
        """
        self._test.require_unopened()
        self._check(synthetic)
        candidates = self._candidates(synthetic)
        classifier, trainings = fixed(self._rule.choose(candidates)), fixed_trainings(candidates)
        extractor = self._built_extractor()
        everything = tuple(fixed(one) for one in candidates) if self._diagnostics else ()
        with self._progress.track("evaluate: scores", 1 + len(self._metrics)) as advance:
            made = extractor(synthetic.images)
            probabilities = extractor.probabilities(made)
            require_evidence(self._metrics, missing=() if probabilities is not None else ("synthetic_probabilities",))
            images, labels = self._test.open(classifier, *(one for _, one in trainings), *everything)
            evidence = Evidence(
                reference_features=extractor(images),
                synthetic_features=made,
                reference_labels=labels.numpy(),
                predicted_labels=classifier.predict(images),
                class_names=self._test.class_names,
                extractor=extractor.identity,
                classifier=classifier.name,
                touched=Touched.PRIVATE_TEST,
                synthetic_labels=synthetic.labels.numpy(),
                synthetic_probabilities=probabilities,
                training_features=self._training_features(extractor),
            )
            advance(1)
            scores = [_held_out_score(classifier)]
            for metric in self._metrics:
                scores.extend(metric.measure(evidence))
                advance(1)
        scores += over_trainings(trainings, images, labels) + best_on_test(everything, images, labels)
        training = None if evidence.training_features is None else len(evidence.training_features)
        counts = image_counts(synthetic.labels.numpy(), labels.numpy(), self._test.class_names, training=training)
        chosen = self._selection(synthetic, classifier, len(candidates))
        return Scores(scores=tuple(scores), selection=chosen, images=counts)

    def _candidates(self, synthetic: SyntheticDataset) -> tuple[Candidate, ...]:
        return tuple(
            candidate
            for seed in range(self._seed, self._seed + self._seeds)
            for candidate in train_candidates(
                synthetic, self._recipe, seed=seed, device=self._device, progress=self._progress
            )
        )

    def _training_features(self, extractor: FeatureExtractor) -> Features | None:
        needed = any("training_features" in metric.needs for metric in self._metrics)
        return extractor(self._training) if needed and self._training is not None else None

    def _built_extractor(self) -> FeatureExtractor:
        if self._extractor is not None:
            return self._extractor
        setting = Setting(
            shape=self._test.shape,
            public=self._public,
            recipe=self._recipe,
            seed=self._seed,
            device=self._device,
            progress=self._progress,
        )
        return PixelCosines.build(setting) if self._public is None else PublicFeatures.build(setting)

    def _selection(
        self, synthetic: SyntheticDataset, classifier: FixedClassifier, candidates: int
    ) -> dict[str, object]:
        return {
            **self._rule.to_json(),
            "candidates": candidates,
            "classifier": classifier.name,
            "held_out_accuracy": classifier.held_out_accuracy,
            "synthetic_images": len(synthetic),
            "public_data": None if self._public is None else self._public.name,
            "seed": self._seed,
            "seeds": self._seeds,
            "recipe": self._recipe.to_json(),
            "tuning": self._tuning,
        }

    def _check(self, synthetic: SyntheticDataset) -> None:
        headless = isinstance(self._extractor, PixelCosines) or (self._extractor is None and self._public is None)
        lacking = {"training_features": self._training is None, "synthetic_probabilities": headless}
        require_evidence(self._metrics, missing=[name for name, is_missing in lacking.items() if is_missing])
        require_like(synthetic, self._test.shape, self._test.class_names)
        require_enough(self._metrics, test=len(self._test), synthetic=len(synthetic))


def standard_metrics() -> tuple[Metric, ...]:
    """What scores a run that names no metrics."""
    return Accuracy(), FrechetDistance(), PrecisionRecall()


def _held_out_score(classifier: FixedClassifier) -> Score:
    """What a user may also see in a release: it was measured on synthetic images alone."""
    return Score("held_out_synthetic_accuracy", classifier.held_out_accuracy, classifier.name, Touched.SYNTHETIC)
