"""Hypothesis strategies for privacy laws: neighbouring image sets, parameters, events, plans, crashes, schedules.

They need hypothesis (`pip install dpgen[test]`); nothing else in dpgen does.
"""

from __future__ import annotations

from dpgen.testing.strategies.events import event_trees, plans
from dpgen.testing.strategies.neighbours import Neighbours, neighbours
from dpgen.testing.strategies.parameters import (
    clip_norms,
    deltas,
    log_uniform,
    noise_multipliers,
    sampling_probabilities,
    step_counts,
)
from dpgen.testing.strategies.schedules import crash_schedules, interleavings

__all__ = [
    "Neighbours",
    "clip_norms",
    "crash_schedules",
    "deltas",
    "event_trees",
    "interleavings",
    "log_uniform",
    "neighbours",
    "noise_multipliers",
    "plans",
    "sampling_probabilities",
    "step_counts",
]
