"""What of a plan can be rebuilt on made-up records: the settings of each mechanism, read off its event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, NeighboringRelation, Plan
from dpgen.events import DiscreteGaussian, DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.testing.statistics.families import DiscreteGaussianFamily, Family, SampledGaussianFamily


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """One charge of a plan, and the mechanism that causes it: `noise` and how often it was drawn.

    `epsilon` is the proved upper bound for this charge alone, at `delta`.
    """

    mechanism: ClassVar[str]

    label: str
    noise: float
    count: int
    relation: NeighboringRelation
    delta: float
    epsilon: float

    @property
    @abstractmethod
    def family(self) -> Family:
        """The hypothesis under which its releases are judged."""


@final
@dataclass(frozen=True, kw_only=True)
class DpSgdTarget(Target):
    """DP-SGD over Poisson samples; `count` steps."""

    mechanism: ClassVar[str] = "dp_sgd"

    sampling_probability: float

    @property
    def family(self) -> SampledGaussianFamily:
        """Gaussian on Poisson samples, composed."""
        return SampledGaussianFamily(
            sampling_probability=self.sampling_probability, steps=self.count, relation=self.relation
        )


@final
@dataclass(frozen=True, kw_only=True)
class SumTarget(Target):
    """A noised sum of all records, released `count` times."""

    mechanism: ClassVar[str] = "gaussian_sum"

    @property
    def family(self) -> SampledGaussianFamily:
        """Gaussian, composed."""
        return SampledGaussianFamily(sampling_probability=1.0, steps=self.count, relation=self.relation)


@final
@dataclass(frozen=True, kw_only=True)
class CountsTarget(Target):
    """A noised histogram, released `count` times."""

    mechanism: ClassVar[str] = "noisy_histogram"

    touched: int

    @property
    def family(self) -> DiscreteGaussianFamily:
        """Discrete Gaussian counts, composed."""
        return DiscreteGaussianFamily(touched=self.touched, count=self.count, relation=self.relation)


def targets_of(plan: Plan, budget: Budget, accountant: Accountant) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """(what can be audited, one line for each charge that cannot): nothing is left out in silence."""
    targets, others = [], []
    for charge in plan.charges:
        upper = accountant.epsilon(charge.event, delta=budget.delta, relation=budget.relation).upper
        target = _target(charge.label, charge.event, budget, upper)
        if target is None:
            others.append(f"{charge.label}: no shipped mechanism is rebuilt from {charge.event}; audit it by hand")
        else:
            targets.append(target)
    return tuple(targets), tuple(others)


def _target(label: str, event: DpEvent, budget: Budget, epsilon: float) -> Target | None:
    count, single = (event.count, event.event) if isinstance(event, SelfComposed) else (1, event)
    common: dict[str, Any] = {
        "label": label, "count": count, "relation": budget.relation, "delta": budget.delta, "epsilon": epsilon
    }  # fmt: skip
    match single:
        case PoissonSampled(probability=probability, event=Gaussian(noise_multiplier=noise)) if probability > 0 < noise:
            return DpSgdTarget(noise=noise, sampling_probability=probability, **common) if count else None
        case Gaussian(noise_multiplier=noise) if noise > 0 and count:
            return SumTarget(noise=noise, **common)
        case DiscreteGaussian(scale=scale, touched=touched) if touched and count:
            return CountsTarget(noise=scale, touched=touched, **common)
    return None
