"""The sum of one bounded vector per record, several times over, each time of another random sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from dpgen import validate
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.events import DpEvent, Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.bounded_sum import BoundedSum, Vectors
from dpgen.mechanisms.context import RunContext
from dpgen.noise import Floats, NoiseSource


def repeated_sum_event(*, noise_multiplier: float, sampling_probability: float, rounds: int) -> DpEvent:
    """What `RepeatedGaussianSum` with these settings does, for planning."""
    return SelfComposed(PoissonSampled(sampling_probability, Gaussian(noise_multiplier)), rounds)


@final
@dataclass(frozen=True, kw_only=True)
class RepeatedGaussianSum(Mechanism[Tensor]):
    """In each of `rounds` rounds: release the sum of clipped `vectors` over a Poisson sample, plus Gaussian noise.

    As `GaussianSum`, but of a sample that each record joins by its own coin with `sampling_probability`, and again for
    every round. `vectors` cannot depend on earlier rounds: all of them are one release. How many joined is private:
    divide by the public `sampling_probability * info.nominal_records`, or carry a count as one more coordinate.

    Privacy: charges `repeated_sum_event` with the same settings, whole, before the first round. The noise has
    deviation `noise_multiplier * clip_norm` per coordinate, and one record moves the sum of a round by at most
    `clip_norm` (add or remove) or `2 * clip_norm` (replace). Samples and noise are addressed by round: a release that
    was killed is measured again from its start, and every draw is the same.
    Returns: `[rounds, dimension]`, or `[rounds, classes, dimension]`, float64 on the CPU, safe to publish once charged.
    Raises: as `GaussianSum`.
    Source: Mironov, Talwar, Zhang 2019 (arXiv 1908.10530) for the sampled Gaussian mechanism.
    """

    name: ClassVar[str] = "repeated_gaussian_sum"
    cites: ClassVar[tuple[str, ...]] = (
        "Mironov, Talwar, Zhang: Rényi Differential Privacy of the Sampled Gaussian Mechanism. 2019. arXiv 1908.10530",
    )

    vectors: Vectors
    dimension: int
    clip_norm: float
    noise_multiplier: float
    rounds: int
    sampling_probability: float
    classes: int | None = None
    batch: int = 1024
    phase: str = "gaussian sums"

    def __post_init__(self) -> None:
        validate.count(1, rounds=self.rounds)
        validate.positive(sampling_probability=self.sampling_probability)
        validate.probability(sampling_probability=self.sampling_probability)
        validate.not_negative(noise_multiplier=self.noise_multiplier)
        self._sum()

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """The same under both relations: a noise multiplier is stated for add-or-remove-one."""
        return repeated_sum_event(
            noise_multiplier=self.noise_multiplier, sampling_probability=self.sampling_probability, rounds=self.rounds
        )

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the sum of one round, in L2 norm."""
        return self.clip_norm * (2 if relation is REPLACE_ONE else 1)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        released = []
        with context.progress.track(self.phase, self.rounds) as advance:
            for round_ in range(self.rounds):
                released.append(self._one_round(round_, records, noise, self.sensitivity(relation)))
                advance(1)
        return torch.from_numpy(np.stack(released))

    def _one_round(self, round_: int, records: Records, noise: NoiseSource, sensitivity: float) -> Floats:
        joined = noise.poisson_subset(records.ids, probability=self.sampling_probability, step=round_)
        total = self._sum().over(records, joined)
        deviation = self.noise_multiplier * self.clip_norm
        return noise.gaussian(total.numpy(), standard_deviation=deviation, sensitivity=sensitivity, step=round_)

    def _sum(self) -> BoundedSum:
        return BoundedSum(
            vectors=self.vectors,
            dimension=self.dimension,
            clip_norm=self.clip_norm,
            classes=self.classes,
            batch=self.batch,
        )
