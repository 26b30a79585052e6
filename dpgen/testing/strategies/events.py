"""Event trees and plans, small enough that one example is priced in a fraction of a second."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from dpgen.budget import Charge, Plan
from dpgen.events import (
    Composed,
    DiscreteGaussian,
    DpEvent,
    Gaussian,
    Laplace,
    NonPrivate,
    NoOp,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
    Unsupported,
)
from dpgen.testing.strategies.parameters import noise_multipliers, sampling_probabilities

Events = st.SearchStrategy[DpEvent]

_LETTERS: Final = "ab-_ .7/é字'\\"
"""Printable ones, among them what a file name or a quoted text would stumble over."""


def event_trees(
    leaves: Events | None = None, *, max_leaves: int = 3, max_count: int = 6, unpriced: bool = False
) -> Events:
    """Compositions, nested and repeated, of `leaves`: by default every noise, sampled and not, and nothing.

    `unpriced` adds what costs infinity and what every accountant refuses.
    """
    ends = default_leaves() if leaves is None else leaves
    if unpriced:
        ends = ends | st.just(NonPrivate()) | st.builds(Unsupported, st.text(min_size=1))
    return st.recursive(ends, lambda inner: _grown(inner, max_count), max_leaves=max_leaves)


def default_leaves() -> Events:
    """One release: Gaussian, Laplace, discrete Gaussian, either kind of sampling, or nothing."""
    noise = noise_multipliers()
    gaussians = st.builds(Gaussian, noise)
    return st.one_of(
        gaussians,
        st.builds(Laplace, noise),
        st.builds(DiscreteGaussian, noise, st.integers(0, 4)),
        st.builds(PoissonSampled, sampling_probabilities(zero=True), gaussians),
        st.builds(SampledWithoutReplacement, st.integers(10, 10**6), st.integers(0, 10), gaussians),
        st.just(NoOp()),
    )


def _grown(inner: Events, max_count: int) -> Events:
    repeated = st.builds(SelfComposed, inner, st.integers(0, max_count))
    return repeated | st.lists(inner, max_size=3).map(lambda events: Composed(tuple(events)))


def plans(events: Events | None = None, *, max_charges: int = 4) -> st.SearchStrategy[Plan]:
    """Plans of 0 to `max_charges` charges with labels of their own; labels hold awkward characters."""
    labels = st.text(_LETTERS, min_size=1, max_size=6)
    charges = st.tuples(labels, event_trees() if events is None else events)
    unique = st.lists(charges, max_size=max_charges, unique_by=lambda charge: charge[0])
    return unique.map(lambda found: Plan(tuple(Charge(label, event) for label, event in found)))
