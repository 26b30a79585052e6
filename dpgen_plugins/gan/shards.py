"""Disjoint shards of the private records: who lies where, and the rows that a shard's critic learns from."""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from dpgen.mechanisms.base import Ids, Records
from dpgen.noise import NoiseSource


class ShardRows(NamedTuple):
    """What some shards learn from in one step; a private thing. The first two axes are shards and rows."""

    images: Tensor
    labels: Tensor
    choice: Tensor
    """Uniform in [0, 1): which generated image a row is compared with."""
    mix: Tensor
    """Uniform in [0, 1): where between the two the slope is looked at."""
    filled: Tensor
    """Which shards have a record, bool `[shards]`. The others have black images here, only to keep the shape."""


@final
class Shards:
    """The records dealt to `count` shards, each by a coin that belongs to its id, so that no other record moves it."""

    def __init__(self, records: Records, noise: NoiseSource, count: int) -> None:
        self._records, self._noise = records, noise
        found = shards_of(records.ids, noise, count)
        self._members = [records.ids[found == shard] for shard in range(count)]

    def rows(self, shards: Ids, count: int, *, purpose: str, step: int) -> ShardRows:
        """`count` rows of each of `shards`, drawn with replacement by coins that belong to (purpose, step, shard)."""
        coins = self._noise.under(purpose).row_random(shards, views=count, step=step, device=torch.device("cpu"))
        row, choice, mix = (coins.uniform().view(len(shards), count) for _ in range(3))
        members = [self._members[shard] for shard in shards]
        filled = np.array([len(own) > 0 for own in members])
        drawn = [own[_index(u, len(own))] for own, u in zip(members, row, strict=True) if len(own)]
        ids = np.concatenate([np.empty(0, dtype=np.int64), *drawn])
        images, labels = self._records.batch(ids)
        every = torch.from_numpy(np.repeat(filled, count))
        all_images = torch.zeros(len(every), *images.shape[1:]).masked_scatter_(every.view(-1, 1, 1, 1), images)
        all_labels = torch.zeros(len(every), dtype=torch.int64).masked_scatter_(every, labels)
        shape = (len(shards), count)
        return ShardRows(
            all_images.view(*shape, *images.shape[1:]), all_labels.view(shape), choice, mix, torch.from_numpy(filled)
        )


def shards_of(ids: Ids, noise: NoiseSource, count: int) -> Ids:
    """The shard of each record, `[n]`, uniform on 0 .. count - 1, by a secret coin of its own."""
    coins = noise.under("shards").row_random(ids, views=1, device=torch.device("cpu")).uniform()
    return _index(coins, count)


def turn(step: int, count: int, shards: int) -> Ids:
    """Whose turn it is to learn, a public schedule: `count` shards after those of the step before, round and round."""
    return np.sort((step * count + np.arange(count, dtype=np.int64)) % shards)


def clipped_blocks(blocks: Tensor, clip_norm: float) -> Tensor:
    """`blocks` `[n, ...]`, each as a whole of L2 norm `clip_norm` at most; a NaN or an infinity makes it zero."""
    norms = torch.linalg.vector_norm(blocks.flatten(1), dim=1).view(-1, *[1] * (blocks.ndim - 1))
    factors = (clip_norm / norms).clamp(max=1.0)  # min(1, C / norm); a norm of 0 gives 1
    return torch.where(norms.isfinite(), blocks * factors, 0.0)  # where(): 0 * NaN would be NaN


def _index(uniform: Tensor, count: int) -> Ids:
    """floor(u count) in 0 .. count - 1, for u in [0, 1)."""
    index: Ids = (uniform.double() * count).long().numpy()
    return index
