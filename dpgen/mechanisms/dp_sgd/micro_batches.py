"""The records of one pass through the network, padded to a fixed shape where the device wants one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from dpgen.mechanisms.base import Ids, Records
from dpgen.noise import NO_RECORD


@final
@dataclass(frozen=True)
class MicroBatch:
    """Examples for one pass: `images`, `labels` and `ids` in one order; where `mask` is False there is no record.

    Padding is a black image of class 0 whose randomness belongs to no record. With a `mask` of None all are records.
    """

    images: Tensor
    labels: Tensor
    ids: Ids
    mask: Tensor | None


def micro_batch(records: Records, ids: Ids, device: torch.device, *, size: int | None = None) -> MicroBatch:
    """The records `ids` on `device`, padded to `size` examples (None: as many as there are)."""
    images, labels = records.batch(ids)
    missing = 0 if size is None else size - len(ids)
    if missing > 0:
        images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        labels = torch.cat([labels, labels.new_zeros(missing)])
    padded = np.concatenate([ids, np.full(missing, NO_RECORD, dtype=np.int64)])
    # A fixed shape has a mask even where it is full: one traced program serves every pass.
    mask = None if size is None else torch.arange(len(padded), device=device) < len(ids)
    return MicroBatch(images.to(device), labels.to(device), padded, mask)


def made_up_batch(examples: int, image: torch.Size, generator: torch.Generator, device: torch.device) -> MicroBatch:
    """Examples of no record: public noise of class 0."""
    images = torch.rand(examples, *image, generator=generator).to(device)
    labels = torch.zeros(examples, dtype=torch.int64, device=device)
    return MicroBatch(images, labels, np.full(examples, NO_RECORD, dtype=np.int64), None)
