"""Batches in which every record has a place of its own, whoever else is there: what is exact must not hang on rounding.

A network rounds an image differently in a batch of another shape. Were batches cut from those present, taking one
record out would move others to other batches, and a near tie among a neighbour's scores could turn: one record would
change another one's vote, which no sensitivity of a count allows for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dpgen import validate
from dpgen.mechanisms.base import Records


def in_their_places(records: Records, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """All records, ascending, as batches of exactly `rows` rows: the record of id i is in row i mod `rows`.

    Gives images `[rows, channels, height, width]`, labels `[rows]` and the rows that hold a record, `[n]`. The others
    are black, of label 0: whatever is computed of them must be thrown away.
    """
    validate.count(1, rows=rows)
    blocks = records.ids // rows
    for ids in np.split(records.ids, np.flatnonzero(np.diff(blocks)) + 1):
        if not len(ids):
            continue
        images, labels = records.batch(ids)
        places = torch.from_numpy(ids % rows)
        whole = images.new_zeros(rows, *images.shape[1:])
        whole[places] = images
        yield whole, labels.new_zeros(rows).index_copy_(0, places, labels), places
