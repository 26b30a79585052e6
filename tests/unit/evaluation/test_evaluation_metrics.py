from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpgen.errors import DataError, InvalidValue
from dpgen.evaluation.base import NOT_RELEASED, Evidence, Metric, Score, Touched
from dpgen.evaluation.metrics import Accuracy, FrechetDistance, PrecisionRecall
from dpgen.evaluation.metrics.accuracy import confusion_counts
from dpgen.evaluation.metrics.frechet import frechet_distance
from dpgen.evaluation.metrics.precision_recall import precision_recall

Array = NDArray[np.float64]


def normal(count: int, size: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, size))


def evidence(
    *,
    reference: Array | None = None,
    synthetic: Array | None = None,
    labels: tuple[int, ...] = (0, 0, 1, 1),
    predicted: tuple[int, ...] = (0, 1, 1, 1),
    touched: Touched = Touched.PRIVATE_TEST,
) -> Evidence:
    return Evidence(
        reference_features=normal(40, 3) if reference is None else reference,
        synthetic_features=normal(30, 3, seed=1) if synthetic is None else synthetic,
        reference_labels=np.array(labels),
        predicted_labels=np.array(predicted),
        class_names=("cat", "dog", "cow"),
        extractor="public-cnn@12345678",
        classifier="synthetic-cnn@87654321",
        touched=touched,
    )


@pytest.mark.parametrize("touched", Touched)
@pytest.mark.parametrize("metric", [Accuracy(), FrechetDistance(), PrecisionRecall()])
def test_every_score_says_what_it_touched_and_who_measured(metric: Metric, touched: Touched) -> None:
    for score in metric.measure(evidence(touched=touched)):
        assert score.touched is touched
        assert score.measured_by in {"public-cnn@12345678", "synthetic-cnn@87654321"}
        assert score.note == (NOT_RELEASED if str(touched).startswith("private") else "")
        assert score.to_json()["note"] == score.note


def test_accuracy_counts_by_hand() -> None:
    score, balanced = Accuracy().measure(evidence())
    assert (score.name, score.value, score.measured_by) == ("accuracy", 0.75, "synthetic-cnn@87654321")
    assert score.details["per_class"] == {"cat": 0.5, "dog": 1.0, "cow": None}
    assert (balanced.name, balanced.value) == ("balanced_accuracy", 0.75)
    assert score.details["standard_error"] == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert score.details["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_confusion_rows_are_the_truth() -> None:
    assert confusion_counts(np.array([0, 0, 1]), np.array([1, 1, 0]), classes=2).tolist() == [[0, 2], [1, 0]]


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        Accuracy().measure(evidence(labels=(), predicted=()))


def test_a_prediction_for_every_label() -> None:
    with pytest.raises(DataError, match="one prediction per reference label"):
        evidence(predicted=(0,))


def with_moments(mean: Array, covariance: Array, count: int = 50) -> Array:
    """Points whose sample mean and unbiased covariance are exactly the given ones."""
    points = normal(count, len(mean), seed=7)
    points -= points.mean(0)
    whitened = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    result: Array = whitened @ np.linalg.cholesky(covariance).T + mean
    return result


def test_frechet_of_gaussians_with_commuting_covariances() -> None:
    # closed form: |m1 - m2|^2 + sum (sqrt(a_i) - sqrt(b_i))^2 for diagonal covariances
    first = with_moments(np.array([1.0, 2.0, 3.0]), np.diag([4.0, 1.0, 9.0]))
    second = with_moments(np.array([0.0, 2.0, 5.0]), np.diag([1.0, 16.0, 9.0]))
    assert frechet_distance(first, second) == pytest.approx((1 + 0 + 4) + (1 + 9 + 0), rel=1e-12)


def test_frechet_of_gaussians_in_two_dimensions() -> None:
    # for 2 x 2 matrices tr(sqrt(A)) = sqrt(tr(A) + 2 sqrt(det(A))), here with A = C1 C2
    c1, c2 = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    product = c1 @ c2
    root_trace = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = 0.25 + np.trace(c1) + np.trace(c2) - 2 * root_trace
    found = frechet_distance(with_moments(np.array([0.0, 0.5]), c1), with_moments(np.zeros(2), c2))
    assert found == pytest.approx(expected, rel=1e-12)


def test_frechet_stays_exact_with_fewer_images_than_features() -> None:
    points = normal(5, 64)
    assert frechet_distance(points, points.copy()) == pytest.approx(0, abs=1e-9)
    # the same cloud moved and doubled: |shift|^2 + tr((2C^1/2 - C^1/2)^2) = |shift|^2 + tr(C)
    moved = 2 * (points - points.mean(0)) + points.mean(0) + 0.5
    expected = 64 * 0.25 + np.trace(np.cov(points.T))
    assert frechet_distance(points, moved) == pytest.approx(expected, rel=1e-9)


def test_frechet_states_rank_deficiency_and_sizes() -> None:
    (poor,) = FrechetDistance().measure(evidence(reference=normal(3, 3)))
    (rich,) = FrechetDistance().measure(evidence())
    assert poor.details["rank_deficient"]
    assert not rich.details["rank_deficient"]
    assert rich.details["reference_images"] == 40
    assert rich.measured_by == "public-cnn@12345678"


@pytest.mark.parametrize("measure", [frechet_distance, precision_recall])
@pytest.mark.parametrize(
    "bad",
    [np.full((40, 3), np.nan), np.full((40, 3), np.inf), np.zeros((40, 2)), np.zeros(40), np.zeros((1, 3))],
    ids=["nan", "infinite", "other width", "flat", "too few"],
)
def test_distances_refuse_bad_features_without_showing_them(measure: object, bad: Array) -> None:
    assert callable(measure)
    with pytest.raises(DataError) as refusal:
        measure(normal(40, 3), bad)
    assert "40" not in str(refusal.value)


def brute_force(reference: Array, synthetic: Array, neighbours: int) -> tuple[float, float]:
    """The definition, one pair at a time."""

    def share(points: Array, manifold: Array) -> float:
        inside = 0
        for point in points:
            for row, centre in enumerate(manifold):
                others = sorted(math.dist(centre, other) for at, other in enumerate(manifold) if at != row)
                if math.dist(point, centre) <= others[neighbours - 1]:
                    inside += 1
                    break
        return inside / len(points)

    return share(synthetic, reference), share(reference, synthetic)


@pytest.mark.parametrize("neighbours", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 1.5, 100.0])
def test_precision_and_recall_are_the_definition(neighbours: int, shift: float) -> None:
    reference, synthetic = normal(25, 2), 0.5 * normal(20, 2, seed=1) + shift
    assert precision_recall(reference, synthetic, neighbours=neighbours) == brute_force(
        reference, synthetic, neighbours
    )


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, synthetic = normal(25, 2), normal(20, 2, seed=1)
    whole = precision_recall(reference, synthetic)
    monkeypatch.setattr("dpgen.evaluation.metrics.distances._CHUNK", 7)
    assert precision_recall(reference, synthetic) == whole


def test_collapse_costs_recall_and_scatter_costs_precision() -> None:
    real = normal(200, 4)
    precision, recall = precision_recall(real, real[0] + 0.1 * normal(50, 4, seed=3))
    assert precision > 0.9
    assert recall < 0.1
    precision, recall = precision_recall(real, 5 * normal(200, 4, seed=4))
    assert precision < 0.5 < recall


def test_repeated_images_are_inside_their_own_set() -> None:
    points = np.repeat(normal(3, 5) + 1000, 6, axis=0)
    assert precision_recall(points, points) == (1.0, 1.0)


def test_precision_recall_needs_more_images_than_neighbours() -> None:
    with pytest.raises(DataError, match="more than 4 images"):
        precision_recall(normal(4, 2), normal(9, 2))
    with pytest.raises(InvalidValue, match="neighbours"):
        PrecisionRecall(neighbours=0)


def test_a_score_is_plain_json() -> None:
    score = Score("accuracy", 0.5, "x@1", Touched.SYNTHETIC, {"images": 3})
    assert score.to_json() == {
        "name": "accuracy",
        "value": 0.5,
        "measured_by": "x@1",
        "touched": "synthetic",
        "note": "",
        "details": {"images": 3},
    }
