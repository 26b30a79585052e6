"""Rung 1: the laws of the noise that the plan asks for, and of its Poisson samples, drawn fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from dpgen.noise import SecureNoise
from dpgen.testing.audit.finding import Finding
from dpgen.testing.audit.targets import CountsTarget, DpSgdTarget, Target
from dpgen.testing.statistics.discrete import LARGEST_SCALE, discrete_gaussian_deviation, discrete_gaussian_law
from dpgen.testing.statistics.false_alarms import SUITE_FALSE_ALARMS, FalseAlarmBudget
from dpgen.testing.statistics.gaussian import gaussian_deviation, gaussian_independence, gaussian_shape
from dpgen.testing.statistics.law_test import LawTest
from dpgen.testing.statistics.sampling import joined_table, poisson_inclusions, poisson_rate, poisson_sizes

RUNG: Final = 1
DRAWS: Final = 200_000
IDS: Final = 2_000
STEPS: Final = 200
_CONTROL: Final = 0.95
"""The twin draws this much of the claimed noise."""


def law_budget(targets: int) -> FalseAlarmBudget:
    """What each law test of an audit may spend: the family-wise budget over all of its charges."""
    return FalseAlarmBudget(SUITE_FALSE_ALARMS, {"laws": 6 * max(1, targets)})


def drawn(target: Target, *, level: float) -> Iterator[Finding]:
    """Test the draws, then the same draws spoilt by five percent, which must be rejected."""
    for found, control in _tests(target, level):
        missed = f"{found.statistic:.4g} against {found.threshold:.4g}; level {level:.2g}, {found.samples} draws"
        seen = f"{missed}, sees {found.smallest_fault:.2%} or more"
        yield Finding(
            rung=RUNG,
            subject=target.label,
            check=found.name,
            outcome="passed" if found.passed else "failed",
            why=seen if found.passed else f"expected the law that is priced; found {seen}. Do not trust this source.",
        )
        if control is not None:
            yield _control(target, control)


def _control(target: Target, twin: LawTest) -> Finding:
    found = f"{twin.statistic:.4g} against {twin.threshold:.4g}"
    return Finding(
        rung=RUNG,
        subject=target.label,
        check=f"control: {twin.name} of a broken twin",
        outcome="failed" if twin.passed else "passed",
        why=f"expected a rejection; found {found}. This test is blind." if twin.passed else f"caught: {found}",
        control=True,
    )


def _tests(target: Target, level: float) -> Iterator[tuple[LawTest, LawTest | None]]:
    """(test, the same test of the twin, if it has one)."""
    source = SecureNoise().under(target.label)
    if isinstance(target, CountsTarget):
        yield from _counts(source, target.noise, level)
        return
    first, second = (
        source.gaussian(np.zeros(DRAWS), standard_deviation=target.noise, sensitivity=1.0, step=step) for step in (0, 1)
    )
    claim = {"deviation": target.noise, "level": level}
    yield gaussian_deviation(first, **claim), gaussian_deviation(first * _CONTROL, **claim)
    yield gaussian_shape(first, **claim), None
    yield gaussian_independence(first, second, **claim), gaussian_independence(first, first, **claim)
    if isinstance(target, DpSgdTarget) and 0 < target.sampling_probability < 1:
        yield from _samples(source, target.sampling_probability, level)


def _counts(source: SecureNoise, scale: float, level: float) -> Iterator[tuple[LawTest, LawTest | None]]:
    if scale > LARGEST_SCALE:
        return
    noise = source.discrete_gaussian(np.zeros(DRAWS, dtype=np.int64), scale=scale, sensitivity=1.0)
    yield discrete_gaussian_law(noise, scale=scale, level=level), None
    fewer = np.where(np.arange(DRAWS) % 10 == 0, 0, noise)  # a tenth of the noise missing: its deviation is 0.95
    claim = {"scale": scale, "level": level}
    yield discrete_gaussian_deviation(noise, **claim), discrete_gaussian_deviation(fewer, **claim)


def _samples(source: SecureNoise, probability: float, level: float) -> Iterator[tuple[LawTest, LawTest | None]]:
    ids = int(min(max(IDS, 500 / probability), 200_000))  # rare samples need more ids to be seen at all
    joined = joined_table(source, ids=ids, steps=STEPS, probability=probability)
    claim = {"probability": probability, "level": level}
    half = joined.copy()
    half[:, ::2] = False
    yield poisson_rate(joined, **claim), poisson_rate(half, **claim)
    yield poisson_sizes(joined, **claim), None
    yield poisson_inclusions(joined, **claim), None
