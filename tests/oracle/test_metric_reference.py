"""Our metrics against what torch-fidelity, prdc and the authors' FLD code said about the same features.

The record is made by `record_metric_reference.py`, which says how. Agreement asked for: 1e-6 relative, with two stated
exceptions. Frechet distances with fewer images than features: 1e-4, because torch-fidelity takes eigenvalues of a
product of rank-deficient covariances, whose rounding enters under a root. FLD: 1e-4, because its widths are float32.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import softmax

from dpgen.evaluation.metrics.density_coverage import density_coverage
from dpgen.evaluation.metrics.feature_likelihood import feature_likelihood
from dpgen.evaluation.metrics.frechet import frechet_distance
from dpgen.evaluation.metrics.inception_score import inception_score
from dpgen.evaluation.metrics.isotropic_mixture import IsotropicMixture
from dpgen.evaluation.metrics.kernel_distance import kernel_distance
from dpgen.evaluation.metrics.precision_recall import precision_recall

HERE = Path(__file__).parent
CASES = json.loads((HERE / "metric_reference.json").read_text())["cases"]


def features(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """The very function that made the arrays of the record."""
    spec = importlib.util.spec_from_file_location("record_metric_reference", HERE / "record_metric_reference.py")
    assert spec is not None
    assert spec.loader is not None
    recorder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recorder)
    made: dict[str, np.ndarray] = recorder.features(case)
    return made


@pytest.fixture(scope="module", params=list(CASES))
def given(request: pytest.FixtureRequest) -> tuple[dict[str, np.ndarray], dict[str, Any], bool]:
    found = CASES[request.param]
    return features(found["case"]), found["values"], request.param == "wide"


def test_frechet_distance_is_that_of_torch_fidelity(given: Any) -> None:
    made, values, deficient = given
    found = frechet_distance(made["reference"], made["synthetic"])
    assert found == pytest.approx(values["frechet_distance"], rel=1e-4 if deficient else 1e-6)


def test_kernel_distance_is_that_of_torch_fidelity(given: Any) -> None:
    made, values, _ = given
    images = values["kernel_distance_images"]
    found = kernel_distance(made["reference"][:images], made["synthetic"][:images])
    assert found == pytest.approx(values["kernel_distance"], rel=1e-6)


def test_inception_score_is_that_of_torch_fidelity(given: Any) -> None:
    made, values, _ = given
    assert inception_score(softmax(made["logits"], axis=1)) == pytest.approx(values["inception_score"], rel=1e-6)


def test_precision_and_recall_are_those_of_torch_fidelity(given: Any) -> None:
    made, values, _ = given
    found = precision_recall(made["reference"], made["synthetic"], neighbours=3)
    assert found == pytest.approx(values["precision_recall_3"], rel=1e-6)


def test_density_and_coverage_are_those_of_prdc(given: Any) -> None:
    made, values, _ = given
    found = density_coverage(made["reference"], made["synthetic"])
    assert found == pytest.approx((values["density"], values["coverage"]), rel=1e-6)


def standardised(made: dict[str, np.ndarray]) -> list[np.ndarray]:
    mean, deviation = made["reference"].mean(0), made["reference"].std(0, ddof=1)
    return [(made[name] - mean) / deviation for name in ("reference", "synthetic", "training")]


def test_mixture_is_that_of_the_authors(given: Any) -> None:
    made, values, _ = given
    test, synthetic, training = standardised(made)
    loss = IsotropicMixture(synthetic).fitted_to(training).negative_log_likelihood(test)
    assert loss / test.shape[1] == pytest.approx(values["negative_log_likelihood_per_feature"], rel=1e-4)


def test_feature_likelihood_is_the_difference_of_two_such_mixtures(given: Any) -> None:
    # The constant of the authors depends on a random halving, so it has no recorded value; over halvings its spread is
    # small, and ours must lie among them.
    made, values, _ = given
    test, _, training = standardised(made)
    size = min(len(made["synthetic"]), len(training) // 2)
    draws, constants = np.random.default_rng(5), []
    for _ in range(8):
        rows = training[draws.permutation(len(training))]
        loss = IsotropicMixture(rows[:size]).fitted_to(rows[size:]).negative_log_likelihood(test)
        constants.append(loss / test.shape[1])
    found = feature_likelihood(made["reference"], made["synthetic"], made["training"])
    constant = values["negative_log_likelihood_per_feature"] - found / 100
    assert constant == pytest.approx(np.mean(constants), abs=5 * np.std(constants))


@pytest.mark.parametrize(("images", "size"), [(700, 300), (302, 300), (90, 40)])
def test_frechet_distance_is_that_of_the_matrix_root(images: int, size: int) -> None:
    """scipy's root of C1^1/2 C2 C1^1/2, also where the faster way by eigenvalues is taken (more than 256 features)."""
    random = np.random.default_rng(3)
    mixing = random.standard_normal((size, size)) * np.geomspace(1, 0.1, size)
    first, second = (random.standard_normal((images, size)) @ mixing for _ in range(2))
    second = 1.2 * second + 0.3
    root = np.real(sqrtm(np.cov(first.T)))
    inner = np.linalg.eigvalsh(root @ np.cov(second.T) @ root).clip(min=0)
    gap = first.mean(0) - second.mean(0)
    expected = gap @ gap + np.trace(np.cov(first.T)) + np.trace(np.cov(second.T)) - 2 * np.sqrt(inner).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
