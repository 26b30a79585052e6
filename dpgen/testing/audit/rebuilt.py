"""The shipped mechanisms rebuilt around made-up canaries: what each shows of a record that is there, or is not.

Canary i owns its own cells of the release. Under add-or-remove-one every other canary is left out; under replace-one
it votes, or points, the other way. One release is then many independent observations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpgen.budget import REPLACE_ONE
from dpgen.mechanisms.base import Mechanism
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NO_VOTE, NoisyHistogram
from dpgen.noise import SecureNoise
from dpgen.testing.audit.targets import CountsTarget, DpSgdTarget, SumTarget, Target
from dpgen.testing.statistics.crafted import OVERSHOOT, CraftedRecords
from dpgen.testing.statistics.rates import Scores
from dpgen.testing.statistics.step_audit import DpSgdClaim, Twin, observe_steps

CANARIES: Final = 1024
"""Canaries of one release; half of them take part."""


def observe(target: Target, *, observations: int, noise_factor: float = 1.0) -> tuple[Scores, Scores]:
    """(present, absent): at least `observations` scores each, from fresh secure noise.

    `noise_factor` other than 1 makes a broken twin that draws that much of the claimed noise.
    """
    rounds = -(-observations // (CANARIES // 2))
    match target:
        case DpSgdTarget():
            twin: Twin | None = None
            if noise_factor != 1:
                twin = lambda made: replace(made, noise_multiplier=made.noise_multiplier * noise_factor)  # noqa: E731
            return observe_steps(claim_of(target), steps=rounds, twin=twin)
        case SumTarget():
            return _released(target, _sum(target, noise_factor), rounds)
        case CountsTarget():
            return _released(target, _histogram(target, noise_factor), rounds)
    raise AssertionError(f"no such target: {type(target).__name__}")


def claim_of(target: DpSgdTarget) -> DpSgdClaim:
    """The target as a claim for the step audit."""
    return DpSgdClaim(
        noise_multiplier=target.noise,
        sampling_probability=target.sampling_probability,
        steps=target.count,
        relation=target.relation,
        delta=target.delta,
        epsilon=target.epsilon,
    )


def canary_signs(target: Target) -> NDArray[np.int8]:
    """1 for the canaries that take part, and what stands in the place of the others: 0, or -1 for a replaced one."""
    signs: NDArray[np.int8] = np.ones(CANARIES, dtype=np.int8)
    signs[1::2] = -1 if target.relation is REPLACE_ONE else 0
    return signs


def _released(target: Target, mechanism: Mechanism[Tensor], rounds: int) -> tuple[Scores, Scores]:
    signs, source = canary_signs(target), SecureNoise()
    records = CraftedRecords(signs)
    scores = np.stack(
        [
            _scores(
                target,
                mechanism._measure(
                    records, noise=source.under(f"round {turn}"), relation=target.relation, context=RunContext()
                ),
            )
            for turn in range(rounds)
        ]
    )
    return scores[:, signs > 0].ravel(), scores[:, signs <= 0].ravel()


def _scores(target: Target, released: Tensor) -> Scores:
    """One score a canary: its own coordinate, or its own counts, those of the other vote subtracted."""
    cells = released.double().numpy().reshape(CANARIES, -1)
    if isinstance(target, CountsTarget) and target.relation is REPLACE_ONE:
        half = cells.shape[1] // 2
        return np.asarray(cells[:, :half].sum(1) - cells[:, half:].sum(1))
    return np.asarray(cells.sum(1))


def _sum(target: SumTarget, noise_factor: float) -> GaussianSum:
    return GaussianSum(
        vectors=lambda images, labels: OVERSHOOT * images.flatten(1),
        dimension=CANARIES,
        clip_norm=1.0,
        noise_multiplier=target.noise * noise_factor,
    )


def _histogram(target: CountsTarget, noise_factor: float) -> NoisyHistogram:
    """Each canary votes for cells of its own; under replace-one the other record of the pair votes for as many more."""
    touched = target.touched
    votes = touched // 2 if target.relation is REPLACE_ONE else touched

    def vote(images: Tensor, labels: Tensor) -> Tensor:
        flat = images.flatten(1)
        owner, sign = flat.abs().argmax(1), flat.sum(1)
        first = owner * touched + torch.where(sign < 0, votes, 0)
        cells = first[:, None] + torch.arange(votes)
        return torch.cat([cells, cells, torch.full_like(cells, NO_VOTE)], dim=1)  # repeated votes must not count

    return NoisyHistogram(cells=CANARIES * touched, votes=votes, scale=target.noise * noise_factor, vote=vote)
