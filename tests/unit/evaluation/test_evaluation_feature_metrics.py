"""Metrics beyond Fréchet and precision: definitions by hand, honest refusals, and what each is there to notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dpgen.errors import DataError, InvalidValue
from dpgen.evaluation.base import Evidence, Metric, Touched
from dpgen.evaluation.metrics import (
    DensityCoverage,
    FeatureLikelihood,
    FrechetByClass,
    InceptionScore,
    KernelDistance,
    Memorisation,
)
from dpgen.evaluation.metrics.density_coverage import density_coverage
from dpgen.evaluation.metrics.feature_likelihood import feature_likelihood
from dpgen.evaluation.metrics.frechet import _sum_of_singular_values, frechet_distance
from dpgen.evaluation.metrics.inception_score import inception_score
from dpgen.evaluation.metrics.kernel_distance import kernel_distance
from dpgen.evaluation.metrics.memorisation import memorised_share
from dpgen.evaluation.metrics.precision_recall import precision_recall

Array = NDArray[np.float64]


def normal(count: int, size: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, size))


def evidence(**changes: object) -> Evidence:
    whole = Evidence(
        reference_features=normal(40, 3),
        synthetic_features=normal(30, 3, seed=1),
        reference_labels=np.arange(40) % 3,
        predicted_labels=np.zeros(40, dtype=np.int64),
        class_names=("cat", "dog", "cow"),
        extractor="public-cnn@12345678",
        classifier="synthetic-cnn@87654321",
        touched=Touched.PRIVATE_TEST,
        synthetic_labels=np.arange(30) % 3,
        synthetic_probabilities=np.full((30, 3), 1 / 3),
        training_features=normal(60, 3, seed=2),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", [FeatureLikelihood(), Memorisation()])
def test_what_read_training_images_says_so(metric: Metric) -> None:
    (score,) = metric.measure(evidence())
    assert score.touched is Touched.PRIVATE_TRAIN
    (public,) = metric.measure(evidence(touched=Touched.PUBLIC))
    assert public.touched is Touched.PUBLIC


@pytest.mark.parametrize("metric", [FeatureLikelihood(), Memorisation(), InceptionScore(), FrechetByClass()])
def test_a_metric_says_which_evidence_it_lacks(metric: Metric) -> None:
    (needed,) = metric.needs
    with pytest.raises(DataError, match=f"needs {needed.replace('_', ' ')}; found none"):
        metric.measure(evidence(**{needed: None}))


def test_one_label_for_each_synthetic_image() -> None:
    with pytest.raises(DataError, match="one row per synthetic image"):
        FrechetByClass().measure(evidence(synthetic_labels=np.zeros(29, dtype=np.int64)))


def test_kernel_distance_is_the_mean_over_pairs_of_different_images() -> None:
    first, second = normal(6, 2), normal(5, 2, seed=1) + 1

    def kernel(x: Array, y: Array) -> float:
        return float((x @ y / 2 + 1) ** 3)

    def within(rows: Array) -> float:
        return float(np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]))

    between = np.mean([kernel(x, y) for x in first for y in second])
    assert kernel_distance(first, second) == pytest.approx(within(first) + within(second) - 2 * between, rel=1e-12)


def test_kernel_distance_has_no_bias() -> None:
    # 200 pairs of small samples of one law: the mean lies within four standard errors of zero; the biased twin's not.
    random = np.random.default_rng(0)
    pairs = [(random.standard_normal((20, 4)), random.standard_normal((25, 4))) for _ in range(200)]
    values = np.array([kernel_distance(*pair) for pair in pairs])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean()) < 4 * error

    def biased(first: Array, second: Array) -> float:
        return float(sum(((a @ b.T / 4 + 1) ** 3).mean() * sign for a, b, sign in
                         ((first, first, 1), (second, second, 1), (first, second, -2))))  # fmt: skip

    assert np.mean([biased(*pair) for pair in pairs]) > 4 * error


def test_kernel_distance_in_subsets() -> None:
    whole = KernelDistance().measure(evidence())[0]
    parts = KernelDistance(subset_size=20, subsets=50).measure(evidence())[0]
    assert parts.details["subset_size"] == 20
    assert parts.details["deviation"] > 0
    assert parts.value == pytest.approx(whole.value, abs=4 * parts.details["deviation"] / np.sqrt(50) + 0.05)
    assert KernelDistance(subset_size=20, subsets=50).measure(evidence())[0] == parts
    with pytest.raises(DataError, match="subsets of 31"):
        KernelDistance(subset_size=31).measure(evidence())
    with pytest.raises(InvalidValue, match="subset_size"):
        KernelDistance(subset_size=1)


def test_inception_score_of_sure_and_unsure_guesses() -> None:
    sure = np.eye(4)[np.arange(12) % 4]
    assert inception_score(sure) == pytest.approx(4)
    assert inception_score(np.eye(4)[np.zeros(12, dtype=int)]) == pytest.approx(1)
    assert inception_score(np.full((12, 4), 0.25)) == pytest.approx(1)
    (score,) = InceptionScore(splits=3).measure(evidence())
    assert (score.value, score.details["splits"]) == (pytest.approx(1), 3)


@pytest.mark.parametrize("bad", [np.full((3, 2), 0.4), np.array([[1.5, -0.5]]), np.array([[np.nan, 1]]), np.ones(3)])
def test_inception_score_refuses_what_is_no_distribution(bad: Array) -> None:
    with pytest.raises(DataError, match="class probabilities"):
        inception_score(bad)


def test_density_and_coverage_by_hand() -> None:
    # On a line: neighbourhoods with k = 1 are (-1, 1), (0, 2), (7, 13) with 0, 1 and 10, radius to the next one.
    real, made = np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [0.9], [30.0], [-0.5]])
    density, coverage = density_coverage(real, made, neighbours=1)
    # 0.5 and 0.9 lie in both of the first two, -0.5 in the first, 30 in none
    assert (density, coverage) == (pytest.approx(5 / 4), pytest.approx(2 / 3))


def test_one_outlier_moves_recall_but_not_coverage() -> None:
    real, made = normal(100, 2), 0.01 * normal(100, 2, seed=1)
    spoilt = np.concatenate([made, np.full((1, 2), 30.0)])
    assert precision_recall(real, spoilt)[1] - precision_recall(real, made)[1] > 0.4
    assert density_coverage(real, spoilt)[1] == density_coverage(real, made)[1]


def test_density_needs_more_real_images_than_neighbours() -> None:
    with pytest.raises(DataError, match="more than 5 images"):
        density_coverage(normal(5, 2), normal(9, 2))
    with pytest.raises(InvalidValue, match="neighbours"):
        DensityCoverage(neighbours=0)


def test_memorisation_sees_copies_and_nothing_else() -> None:
    training, test, fresh = normal(400, 4), normal(400, 4, seed=1), normal(400, 4, seed=2)
    assert memorised_share(test, fresh, training) == pytest.approx(0.05, abs=0.04)
    copies = training[:100] + 1e-3 * normal(100, 4, seed=3)
    assert memorised_share(test, copies, training) == 1
    half = np.concatenate([copies, fresh[:100]])
    assert memorised_share(test, half, training) == pytest.approx(0.525, abs=0.04)
    assert memorised_share(training, training, training) == 1  # copies count even where the test images are copies too


def test_feature_likelihood_punishes_copies_and_wrong_places() -> None:
    training, test, fresh = normal(300, 6), normal(300, 6, seed=1), normal(300, 6, seed=2)
    good = feature_likelihood(test, fresh, training)
    assert abs(good) < 15
    assert feature_likelihood(test, training.copy(), training) > 1000
    assert feature_likelihood(test, np.abs(fresh), training) > good + 5
    assert feature_likelihood(test, fresh + 3, training) > good + 5


def test_feature_likelihood_ignores_order_scale_and_constant_features() -> None:
    training, test, fresh = normal(80, 3), normal(60, 3, seed=1), normal(70, 3, seed=2)
    value = feature_likelihood(test, fresh, training)
    order = np.random.default_rng(1).permutation(70)
    assert feature_likelihood(test[::-1], fresh[order], training[::-1]) == pytest.approx(value, rel=1e-9)
    assert feature_likelihood(7 * test, 7 * fresh, 7 * training) == pytest.approx(value, rel=1e-6)
    sets = [np.concatenate([rows, np.zeros((len(rows), 1))], 1) for rows in (test, fresh, training)]
    assert feature_likelihood(*sets) == pytest.approx(value, rel=1e-9)
    with pytest.raises(DataError, match="vary over the test images"):
        feature_likelihood(np.ones((5, 3)), fresh, training)


def test_feature_likelihood_draws_at_most_the_limit() -> None:
    (score,) = FeatureLikelihood(limit=20).measure(evidence())
    assert (score.details["synthetic_images"], score.details["training_images"]) == (20, 20)


def test_frechet_of_each_class() -> None:
    given = evidence(reference_labels=np.array([0] * 20 + [1] * 20))
    (score,) = FrechetByClass().measure(given)
    assert given.synthetic_labels is not None
    expected = {
        name: frechet_distance(
            given.reference_features[given.reference_labels == at],
            given.synthetic_features[given.synthetic_labels == at],
        )
        for at, name in enumerate(("cat", "dog"))
    }
    assert score.details["per_class"] == expected | {"cow": None}
    assert score.value == pytest.approx(np.mean(list(expected.values())))
    with pytest.raises(DataError, match="two images on each side"):
        FrechetByClass().measure(evidence(synthetic_labels=np.full(30, 2), reference_labels=np.zeros(40, dtype=int)))


def test_frechet_by_eigenvalues_is_that_by_singular_values(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = normal(400, 300), 1.1 * normal(500, 300, seed=1)
    fast = frechet_distance(first, second)
    monkeypatch.setattr("dpgen.evaluation.metrics.frechet._SMALL", 10**9)
    assert fast == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_frechet_falls_back_where_eigenvalues_are_too_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    # 300 features, of which 150 are always zero: half of the eigenvalues are rounding, and count under a root.
    first = np.concatenate([normal(400, 150), np.zeros((400, 150))], 1) @ np.linalg.qr(normal(300, 300, seed=5))[0]
    product = first @ first.T
    expected = np.square(first).sum()  # the trace
    assert _sum_of_singular_values(product, expected) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("dpgen.evaluation.metrics.frechet._ACCURACY", 1.0)  # the twin that trusts them
    assert _sum_of_singular_values(product, expected) != pytest.approx(expected, rel=1e-9)
