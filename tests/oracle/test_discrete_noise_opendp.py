"""Our exact discrete Gaussian against OpenDP's own sampler, where the extra `opendp` is installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from dpgen.noise import SecureNoise

opendp = pytest.importorskip("opendp.prelude", reason='needs the extra: pip install "dpgen[opendp]"')

LEVEL = 1e-6  # chance of a false alarm
DRAWS = 50_000  # sees a scale that is 8 % off at this level with power above 0.999


def ours(scale: float) -> np.ndarray:
    return SecureNoise().discrete_gaussian(np.zeros(DRAWS, np.int64), scale=scale, sensitivity=1.0)


def theirs(scale: float) -> np.ndarray:
    opendp.enable_features("contrib")
    domain = opendp.vector_domain(opendp.atom_domain(T="i64"))
    measurement = opendp.m.make_gaussian(domain, opendp.l2_distance(T="f64"), scale=scale)
    return np.array(measurement(np.zeros(DRAWS, np.int64)))


def same_law_probability(first: np.ndarray, second: np.ndarray) -> float:
    """p-value of the two-sample chi-square test; rare values are pooled in the tails."""
    edge = int(np.quantile(np.abs(first), 0.999))
    values = range(-edge, edge + 1)
    table = [np.bincount(np.clip(draws, -edge, edge) + edge, minlength=len(values)) for draws in (first, second)]
    return float(chi2_contingency(table).pvalue)


@pytest.mark.parametrize("scale", [0.7, 5.0, 11.4])
def test_equal_laws(scale: float) -> None:
    assert same_law_probability(ours(scale), theirs(scale)) > LEVEL


def rounded_continuous(scale: float) -> np.ndarray:
    return np.rint(np.random.default_rng(0).normal(0, scale, DRAWS)).astype(np.int64)


@pytest.mark.parametrize(("twin", "scale"), [(lambda scale: ours(0.92 * scale), 5.0), (rounded_continuous, 0.7)])
def test_another_law_is_rejected(twin: Callable[[float], np.ndarray], scale: float) -> None:
    assert same_law_probability(twin(scale), theirs(scale)) < LEVEL
