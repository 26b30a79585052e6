"""Rung 0: the rebuilt mechanism on made-up records and on neighbours of them, with the same noise fed back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from dpgen.budget import REPLACE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.errors import SensitivityError
from dpgen.mechanisms.base import Mechanism
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.mechanisms.gaussian_sum import GaussianSum
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.noise import RowRandom
from dpgen.testing.audit.finding import Finding
from dpgen.testing.audit.targets import CountsTarget, DpSgdTarget, Target
from dpgen.testing.replay import ReplayMismatch, measuring, record, replay

RUNG: Final = 0
RECORDS: Final = 9
"""Odd, so that one record more or less changes what a careless mechanism counts."""

STEPS: Final = 3
_PIXELS: Final = 16


def replayed(target: Target) -> Iterator[Finding]:
    """Every made-up record in turn leaves, or is replaced; then the same on a twin whose records touch each other."""
    why = _first_mismatch(target, careless=False)
    fine = f"{RECORDS} neighbours moved each release by no more than its sensitivity and changed nothing else"
    mend = " Release nothing until the mechanism passes."
    yield Finding(
        rung=RUNG,
        subject=target.label,
        check="replay on neighbours",
        outcome="failed" if why else "passed",
        why=why + mend if why else fine,
    )
    caught = _first_mismatch(target, careless=True)
    yield Finding(
        rung=RUNG,
        subject=target.label,
        check="control: records that depend on how many there are",
        outcome="passed" if caught else "failed",
        why=f"caught: {caught}" if caught else "expected the twin to be caught; found it passed. This replay is blind.",
        control=True,
    )


def _first_mismatch(target: Target, *, careless: bool) -> str:
    """What the first neighbour that did not replay showed, "" when all did."""
    mechanism, full = _mechanism(target, careless=careless), _records()
    tape = record(measuring(mechanism, full, relation=target.relation))
    for victim in range(RECORDS):
        neighbour = _replaced(victim) if target.relation is REPLACE_ONE and not careless else full.without(victim)
        try:
            replay(measuring(mechanism, neighbour, relation=target.relation), tape, relation=target.relation)
        except (ReplayMismatch, SensitivityError) as error:
            return str(error)
    return ""


def _records() -> ArrayRecords:
    """Made-up images: noise, one black, one white, two alike; the last class is empty."""
    images = torch.randint(0, 256, (RECORDS, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[0], images[1], images[3] = 0, 255, images[2]
    return ArrayRecords(images, torch.arange(RECORDS) % 2)


def _replaced(victim: int) -> ArrayRecords:
    kept = _records()
    images, labels = (tensor.clone() for tensor in kept.batch(kept.ids))
    images[victim], labels[victim] = 1 - images[victim], 1 - labels[victim]
    return ArrayRecords((images * 255).round().to(torch.uint8), labels)


def _mechanism(target: Target, *, careless: bool) -> Mechanism[Any]:
    """The kind of mechanism that `target` names, with its noise; a careless one lets each record see the others."""
    match target:
        case DpSgdTarget():
            return _dp_sgd(target, careless=careless)
        case CountsTarget():
            votes = max(1, target.touched // (2 if target.relation is REPLACE_ONE else 1))
            vote = partial(_votes, votes=votes, careless=careless)
            return NoisyHistogram(cells=4 * votes, votes=votes, scale=target.noise, vote=vote)
        case _:
            vectors = partial(_vectors, careless=careless)
            return GaussianSum(vectors=vectors, dimension=_PIXELS, clip_norm=0.5, noise_multiplier=target.noise)


def _dp_sgd(target: DpSgdTarget, *, careless: bool) -> DpSgd:
    module = nn.Linear(_PIXELS, 1, bias=False)
    nn.init.constant_(module.weight, 0.1)
    return DpSgd(
        module=module,
        inputs=partial(_rows, careless=careless),
        loss=_losses,
        clip_norm=0.5,
        noise_multiplier=target.noise,
        sampling_probability=1.0,  # so that every neighbour shows in every step
        steps=STEPS,
        nominal_records=RECORDS,
        optimizer=partial(torch.optim.SGD, lr=0.1),
        phase="replay",
    )


def _vectors(images: Tensor, labels: Tensor, *, careless: bool) -> Tensor:
    flat = images.flatten(1)
    return flat * (-1) ** len(flat) if careless else flat


def _votes(images: Tensor, labels: Tensor, *, votes: int, careless: bool) -> Tensor:
    # a batch always has the same number of rows, those without a record black: only what is in them can tell
    others = int((images.flatten(1).sum(1) > 0).sum()) if careless else 0
    bucket = labels + 2 * (others % 2)
    return bucket[:, None] * votes + torch.arange(votes)


def _rows(images: Tensor, labels: Tensor, *, views: int, random: RowRandom, careless: bool) -> tuple[Tensor]:
    return (_vectors(images, labels, careless=careless).repeat_interleave(views, 0),)


def _losses(module: nn.Module, rows: Tensor) -> Tensor:
    losses: Tensor = 3 * module(rows)[:, 0]  # the gradient is three times the row: most are clipped
    return losses
