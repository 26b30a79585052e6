"""Parameters of mechanisms over many orders of magnitude, their ends included."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from dpgen import validate

Numbers = st.SearchStrategy[float]


def log_uniform(low: float, high: float) -> Numbers:
    """From `low` to `high` (both > 0), every order of magnitude as likely as another."""
    validate.positive(low=low, high=high)
    return st.floats(math.log(low), math.log(high)).map(lambda x: min(max(math.exp(x), low), high))


def noise_multipliers(*, zero: bool = False) -> Numbers:
    """From 1e-3 to 1e3; with `zero` also no noise at all, which costs infinity."""
    noise = log_uniform(1e-3, 1e3)
    return noise | st.just(0.0) if zero else noise


def sampling_probabilities(*, zero: bool = False) -> Numbers:
    """From 1e-6 to 1, and 1 itself; with `zero` also 0, which costs nothing."""
    ends = (0.0, 0.5, 1.0) if zero else (0.5, 1.0)
    return st.sampled_from(ends) | log_uniform(1e-6, 1.0)


def step_counts(largest: int = 10**6) -> st.SearchStrategy[int]:
    """From 0 to `largest`; small ones as likely as large ones."""
    return st.integers(0, 3) | log_uniform(1, largest).map(round)


def deltas() -> Numbers:
    """From 1e-12 to 0.5."""
    return st.sampled_from((1e-5, 1e-6)) | log_uniform(1e-12, 0.5)


def clip_norms() -> Numbers:
    """From 1e-6 to 1e6."""
    return log_uniform(1e-6, 1e6)
