"""Made-up records whose gradients are known: one direction each, as long as the clip lets them be.

Every canary owns a coordinate of a linear model. Its gradient is `OVERSHOOT` clip norms long in that coordinate alone,
so after the clip it moves the coordinate of the sum by exactly one clip norm, and no other canary touches it. An
auditor who sees all intermediate weights of a training reads off every noised sum. Each coordinate of a canary is
then one observation of what the step does with its record, each free coordinate one of what it does without.
Source: Nasr et al. 2021 (arXiv 2101.04535), the gradient attack; Cebere et al. 2024 (arXiv 2405.14457).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpgen.accountants.rdp import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.ledger import Ledger
from dpgen.mechanisms.base import Ids, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd import DpSgd
from dpgen.noise import NoiseSource, RowRandom

OVERSHOOT: Final = 8.0
"""Length of a raw gradient in clip norms: a step that does not clip is off by this factor."""

_LABEL: Final = "audit"
_MADE_UP: Final = Budget(1e300, 0.5, ADD_OR_REMOVE_ONE)
"""Made-up records may cost anything. The noise drawn is the same under every relation."""


@final
class CraftedRecords(Records):
    """Canaries with the given signs: record i is an image whose pixel i is `signs[i]`, 0 for no such record.

    A sign of -1 stands for the other record of a replaced pair: the gradient the other way.
    """

    def __init__(self, signs: NDArray[np.int8]) -> None:
        self._signs = torch.from_numpy(signs.astype(np.float32))
        self._ids = np.flatnonzero(signs).astype(np.int64)

    @property
    def ids(self) -> Ids:
        """The directions that a canary owns."""
        return self._ids

    def batch(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Images `[len(ids), 1, 1, directions]` with one pixel set, and labels 0."""
        columns = torch.from_numpy(np.asarray(ids, dtype=np.int64))
        images = torch.zeros(len(columns), len(self._signs))
        images[torch.arange(len(columns)), columns] = self._signs[columns]
        return images[:, None, None, :], torch.zeros(len(columns), dtype=torch.int64)


def crafted_dp_sgd(
    *, noise_multiplier: float, sampling_probability: float, steps: int, directions: int, clip_norm: float = 1.0
) -> DpSgd:
    """The shipped DP-SGD around a linear model on `directions` pixels, whose gradients are the images themselves."""
    module = nn.Linear(directions, 1, bias=False).double()  # in float64 no weight rounds a step away
    nn.init.zeros_(module.weight)
    return DpSgd(
        module=module,
        inputs=_rows,
        loss=_losses,
        clip_norm=clip_norm,
        noise_multiplier=noise_multiplier,
        sampling_probability=sampling_probability,
        steps=steps,
        nominal_records=directions,
        optimizer=partial(torch.optim.SGD, lr=1.0),
        ema_decay=0.0,
        phase=_LABEL,
    )


def noised_sums(mechanism: DpSgd, records: Records, noise: NoiseSource) -> NDArray[np.float64]:
    """Release `mechanism` on made-up `records` the way every run does; the noised sum of each step, in clip norms.

    Returns: `[steps, directions]`, read off the weights that the optimizer left after every step.
    """
    weights = [_flat(mechanism.module)]
    watched = replace(mechanism, after_step=lambda module, step: weights.append(_flat(module)))
    info = DatasetInfo(Shape(1, 1, weights[0].size), ("made up",), mechanism.nominal_records)
    with Ledger(RdpAccountant(order=2.0), _MADE_UP) as ledger:
        private = PrivateDataset(records, info, ledger=ledger, noise=noise, context=RunContext())
        private.release(watched, label=_LABEL)
    divisor = mechanism.sampling_probability * mechanism.nominal_records
    return np.asarray(-np.diff(np.stack(weights), axis=0) * divisor / mechanism.clip_norm)


def _rows(images: Tensor, labels: Tensor, *, views: int, random: RowRandom) -> tuple[Tensor]:
    return (images.double().flatten(1).repeat_interleave(views, 0),)


def _losses(module: nn.Module, rows: Tensor) -> Tensor:
    losses: Tensor = OVERSHOOT * module(rows)[:, 0]
    return losses


def _flat(module: nn.Module) -> NDArray[np.float64]:
    return np.concatenate([p.detach().double().cpu().numpy().ravel() for p in module.parameters()])
