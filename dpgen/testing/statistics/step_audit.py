"""The step audit: the noised sums of the shipped DP-SGD, with a record of a known gradient and without it.

One observation is one coordinate of one step; many canaries in as many directions give many at the price of one. From
them follows, within the hypothesised family, how much noise a step can have had at most, and so what the whole
training costs at least. Sampling probability and number of steps are those claimed: a training that takes more steps
than it says is caught by the events of the ledger, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from dpgen import validate
from dpgen.accountants.base import Accountant
from dpgen.accountants.pld import PldAccountant
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.errors import InvalidValue
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.noise import NoiseSource, SecureNoise
from dpgen.testing.statistics.crafted import OVERSHOOT, CraftedRecords, crafted_dp_sgd, noised_sums
from dpgen.testing.statistics.epsilon_bound import EpsilonBound
from dpgen.testing.statistics.families import SampledGaussianFamily
from dpgen.testing.statistics.rates import Scores
from dpgen.testing.statistics.two_sided import bound_within

STEP_LEVEL: Final = 1e-3
"""The level of the bounds that are reported."""

DIRECTIONS: Final = 1024
"""Coordinates observed in a step; a canary owns every other one."""


@final
@dataclass(frozen=True, kw_only=True)
class DpSgdClaim:
    """A training as it is claimed: its settings, the relation, and the epsilon proved for it at `delta`."""

    noise_multiplier: float
    sampling_probability: float
    steps: int
    relation: NeighboringRelation
    delta: float
    epsilon: float

    @staticmethod
    def priced(
        family: SampledGaussianFamily, noise_multiplier: float, *, delta: float, accountant: Accountant | None = None
    ) -> DpSgdClaim:
        """The claim that an accountant (`pld` by default) proves for the member of `family` with this noise."""
        validate.positive(noise_multiplier=noise_multiplier)
        proved = family.epsilon(noise_multiplier, delta=delta, accountant=accountant or PldAccountant())
        return DpSgdClaim(
            noise_multiplier=noise_multiplier,
            sampling_probability=family.sampling_probability,
            steps=family.steps,
            relation=family.relation,
            delta=delta,
            epsilon=proved.upper,
        )

    @property
    def family(self) -> SampledGaussianFamily:
        """What is hypothesised about it."""
        return SampledGaussianFamily(
            sampling_probability=self.sampling_probability, steps=self.steps, relation=self.relation
        )


Twin = Callable[[DpSgd], DpSgd]
"""Turns the training that was claimed into the one that runs."""


def halved_noise(mechanism: DpSgd) -> DpSgd:
    """A broken twin: half the noise that was claimed."""
    return replace(mechanism, noise_multiplier=mechanism.noise_multiplier / 2)


def clip_ignored(mechanism: DpSgd) -> DpSgd:
    """A broken twin: gradients keep their whole length, the noise is that of the clip claimed.

    A clip norm `OVERSHOOT` times as long with as much less of a multiplier is the very same arithmetic.
    """
    factor = OVERSHOOT
    return replace(
        mechanism,
        clip_norm=mechanism.clip_norm * factor,
        noise_multiplier=mechanism.noise_multiplier / factor,
    )


def everybody_joins(mechanism: DpSgd) -> DpSgd:
    """A broken twin for claims with a sampling probability below 1: nobody is left out."""
    return replace(mechanism, sampling_probability=1.0)


def observe_steps(
    claim: DpSgdClaim,
    *,
    steps: int,
    noise: NoiseSource | None = None,
    twin: Twin | None = None,
    directions: int = DIRECTIONS,
) -> tuple[Scores, Scores]:
    """(present, absent): what `steps` steps of the claimed training, or of its broken `twin`, showed of each record.

    Under add-or-remove-one every other direction has a canary and the rest none; under replace-one the two halves
    pull in opposite ways. `noise` is a fresh secure source by default. Scores are in clip norms.
    """
    validate.count(1, steps=steps)
    if directions < 8 or directions % 2:
        raise InvalidValue(f"directions must be even and at least 8; found {directions}. Take {DIRECTIONS}.")
    signs: NDArray[np.int8] = np.ones(directions, dtype=np.int8)
    signs[1::2] = -1 if claim.relation is REPLACE_ONE else 0
    mechanism = crafted_dp_sgd(
        noise_multiplier=claim.noise_multiplier,
        sampling_probability=claim.sampling_probability,
        steps=steps,
        directions=directions,
    )
    running = mechanism if twin is None else twin(mechanism)
    sums = noised_sums(running, CraftedRecords(signs), noise or SecureNoise())
    return sums[:, signs > 0].ravel(), sums[:, signs <= 0].ravel()


def step_audit(
    claim: DpSgdClaim,
    *,
    steps: int,
    level: float = STEP_LEVEL,
    noise: NoiseSource | None = None,
    twin: Twin | None = None,
    directions: int = DIRECTIONS,
) -> EpsilonBound:
    """Audit the shipped DP-SGD under `claim` on made-up records; `steps` observed steps may be fewer or more than the
    claimed ones, because steps are alike.

    Returns: the lower bound on the epsilon of the claimed number of steps, at the claim's delta, beside the claim.
    Raises: `InvalidValue`.
    """
    present, absent = observe_steps(claim, steps=steps, noise=noise, twin=twin, directions=directions)
    return bound_within(
        claim.family,
        present,
        absent,
        delta=claim.delta,
        level=level,
        claimed=claim.epsilon,
        attack=f"step audit, {steps} steps observed in {directions} directions",
    )
