"""One charge for what each class looks like: a noisy sum of bounded features of its images, and their number beside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.budget import Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo
from dpgen.events import Gaussian
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.gaussian_sum import GaussianSum

NORM: Final = 1.0
"""Of a record's vector. The sum clips to it all the same, which trims what rounding adds."""
LEAST_SHARE: Final = 0.1
"""Of an even share: a class whose count says less is taken to have this much."""
RECORDS_AT_ONCE: Final = 64
"""Rows of a gradient can be long: 64 of 640,000 numbers fill 0.3 GB."""


@dataclass(frozen=True)
class Embedding:
    """What was released: for each class its share of the declared records, and that share times its mean features."""

    shares: Tensor
    """`[classes]`, above 0; their sum is near 1."""
    sums: Tensor
    """`[classes, features]`."""


def release_embedding(
    private: PrivateDataset,
    plan: Plan,
    features: nn.Module,
    *,
    label: str,
    count_weight: float,
    context: RunContext,
) -> Embedding:
    """Release, for each class, the sum of its records' `features` and how many there are, both with noise.

    A record's vector is (w, sqrt(1 - w^2) phi(x)) in the block of its class, with w = `count_weight` and |phi(x)| <= 1:
    its length is at most 1, so the count costs nothing beside the features, but for their factor.

    Privacy: the charge that `plan` holds under `label`, `Gaussian`: L2 sensitivity 1 under add-or-remove-one,
    2 under replace-one. 2 is the bound that holds for any features of length 1. Where neighbours differ in the label
    it is sqrt(2), but within a class features may point opposite ways: random features of a positive kernel have
    inner products below 0.
    Returns: divided by the declared number of records, never by a private one.
    """
    info, weight = private.info, math.sqrt(1 - count_weight**2)

    def vectors(images: Tensor, labels: Tensor) -> Tensor:
        return F.pad(features(images.to(context.device)) * weight, (1, 0), value=count_weight)

    mechanism = GaussianSum(
        vectors=vectors,
        dimension=1 + feature_count(features, info, context),
        clip_norm=NORM,
        noise_multiplier=plan.of_kind(label, Gaussian).noise_multiplier,
        classes=info.classes,
        batch=RECORDS_AT_ONCE,
        phase=label,
    )
    features.to(context.device)
    sums = context.once(label, lambda: {"sums": private.release(mechanism, label=label)})["sums"]
    deviation = mechanism.noise_multiplier / (count_weight * info.nominal_records)
    shares = class_shares(info, sums[:, 0] / (count_weight * info.nominal_records), deviation=deviation)
    return Embedding(shares, (sums[:, 1:] / (weight * info.nominal_records)).float())


def class_shares(info: DatasetInfo, released: Tensor, *, deviation: float) -> Tensor:
    """Float32 `[classes]`: declared ones, else `released` ones where they tell something, else even ones.

    They do where the `deviation` of their noise, which is public, is below a quarter of an even share.
    """
    even = 1 / info.classes
    shares = released if deviation < even / 4 else torch.full((info.classes,), even)
    if info.class_counts is not None:
        shares = torch.tensor(info.class_counts) / info.nominal_records
    return shares.clamp(min=LEAST_SHARE * even).float().cpu()


def feature_count(features: nn.Module, info: DatasetInfo, context: RunContext) -> int:
    """How many features an image of the declared shape has; a black one is asked."""
    with torch.no_grad():
        row: Tensor = features.to(context.device)(torch.zeros(1, *info.shape, device=context.device))
    return row.shape[1]
