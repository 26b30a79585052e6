"""Adding a record can cost more than removing one: both directions are priced."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dpgen.accountants import PldAccountant
from dpgen.accountants.pld import accountant as module
from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.events import Laplace, PoissonSampled, SelfComposed

PROBABILITY, SCALE, EPSILON = 0.5, 1.5, 0.4 / 3
"""Two releases, each of a sample with Laplace noise: neither direction dominates the other at every epsilon.
Source: Lebeda, Regehr, Kamath, Steinke 2024 (arXiv 2405.20769)."""
EVENT = SelfComposed(PoissonSampled(PROBABILITY, Laplace(SCALE)), 2)


def deltas() -> tuple[float, float]:
    """delta(epsilon) of removing and of adding by its definition: a double integral by the midpoint rule."""
    width = 0.02
    x = np.arange(-30 + width / 2, 31, width)
    without = np.exp(-np.abs(x) / SCALE) / (2 * SCALE) * width
    with_it = np.exp(-np.abs(x - 1) / SCALE) / (2 * SCALE) * width
    mixed = PROBABILITY * with_it + (1 - PROBABILITY) * without
    p, q = np.outer(mixed, mixed), np.outer(without, without)
    removing, adding = ((np.maximum(a - math.exp(EPSILON) * b, 0)).sum() for a, b in ((p, q), (q, p)))
    return float(removing), float(adding)


def test_the_dearer_direction_is_enclosed():
    removing, adding = deltas()
    assert adding > 1.1 * removing, "the case would show nothing"
    found = PldAccountant().delta(EVENT, epsilon=EPSILON, relation=ADD_OR_REMOVE_ONE)
    assert found.lower * (1 - 1e-3) <= adding <= found.upper * (1 + 1e-3)


def test_the_removing_direction_alone_would_be_too_cheap(monkeypatch):
    monkeypatch.setattr(module, "is_symmetric", lambda leaf, relation: True)
    removing, adding = deltas()
    found = PldAccountant().delta(EVENT, epsilon=EPSILON, relation=ADD_OR_REMOVE_ONE)
    assert found.upper < 0.95 * adding
    assert found.upper == pytest.approx(removing, rel=0.02)
