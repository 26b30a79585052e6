"""Rung 2: single releases with and without a crafted record, judged within the family that the plan names."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from dpgen.errors import InvalidValue
from dpgen.testing.audit.finding import Finding, control, judged
from dpgen.testing.audit.rebuilt import CANARIES, observe
from dpgen.testing.audit.targets import Target
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.sample_size import observations_needed
from dpgen.testing.statistics.two_sided import bound_within

RUNG: Final = 2
LEVEL: Final = 1e-3
NOISE_SHARE: Final = 1.3
"""An audit is planned so large that it expects to rule out this much of the claimed noise: the twin has 0.5."""


def stepped(target: Target, *, seconds: float, level: float = LEVEL) -> Iterator[Finding]:
    """Audit `target`, then its twin with half the noise. The size is planned, never chosen after a look."""
    try:
        needed = observations_needed(target.family, target.noise, noise_share=NOISE_SHARE, level=level)
    except InvalidValue as error:
        yield _skipped(target, str(error))
        return
    duration = _duration(target, needed)
    if duration > seconds:
        yield _skipped(target, f"needs {needed} observations, about {duration:.0f} s; {seconds:.0f} s are left")
        return
    yield judged(RUNG, target.label, _bound(target, needed, level, 1.0))
    yield control(RUNG, target.label, "half the noise", _bound(target, needed, level, 0.5))


def _bound(target: Target, observations: int, level: float, noise_factor: float) -> EpsilonBound:
    present, absent = observe(target, observations=observations, noise_factor=noise_factor)
    return bound_within(
        target.family,
        present,
        absent,
        delta=target.delta,
        level=level,
        claimed=target.epsilon,
        attack="step audit, crafted records",
    )


def _duration(target: Target, observations: int) -> float:
    """Seconds for the audit and its control, from a short trial whose scores are thrown away."""
    observe(target, observations=1)  # what is loaded late is loaded now
    begun = time.perf_counter()
    observe(target, observations=8 * CANARIES)
    return 2 * (time.perf_counter() - begun) * observations / (8 * CANARIES)


def _skipped(target: Target, why: str) -> Finding:
    return Finding(rung=RUNG, subject=target.label, check="step audit", outcome="skipped", why=why)
