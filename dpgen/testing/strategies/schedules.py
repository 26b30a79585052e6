"""When a run dies, and in which order several processes take their turns."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from dpgen import validate
from dpgen.testing.crash import AtStorage, InPhase

OPERATIONS = ("write", "fsync", "replace", "truncate", "remove", "lock")
"""What `dpgen.storage.failpoint` is told of."""


def crash_schedules(
    *, phases: Sequence[str] = (), names: Sequence[str] = ("",), max_crashes: int = 3, latest: int = 8
) -> st.SearchStrategy[list[InPhase | AtStorage]]:
    """Up to `max_crashes` points at which a run is killed, one after the other, each in a start of its own.

    Args: `phases` of the run that may be hit, up to step `latest`; `names` of files, "" for any, up to their nth use.
    """
    validate.count(0, max_crashes=max_crashes, latest=latest)
    times = st.integers(0, latest)
    points: st.SearchStrategy[InPhase | AtStorage] = st.builds(
        AtStorage, st.sampled_from(OPERATIONS), st.sampled_from(names), times
    )
    if phases:
        points = st.builds(InPhase, st.sampled_from(phases), times) | points
    return st.lists(points, max_size=max_crashes)


def interleavings(turns: Sequence[int]) -> st.SearchStrategy[list[int]]:
    """Orders in which processes take their turns: process i comes `turns[i]` times. Shrinks to one after the other."""
    for number in turns:
        validate.count(0, turns=number)
    return st.permutations([process for process, number in enumerate(turns) for _ in range(number)]).map(list)
