"""Private data that remembers when it was read: inside a release, outside of one, or after the fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, final

import numpy as np
import torch
from torch import Tensor

from dpgen.data.datasets import PrivateDataset
from dpgen.data.info import DatasetInfo
from dpgen.ledger import Ledger
from dpgen.mechanisms.base import Ids, Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.noise import Floats, Integers, NoiseSource, RowRandom

R = TypeVar("R")


@final
class WatchedRecords(Records):
    """`records`, with a count of the looks at them: `inside` a release, `outside` of one, `late` after `close`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.inside, self.outside, self.late = 0, 0, 0
        self._authorised, self._closed = False, False

    @property
    def ids(self) -> Ids:
        """Counts as a look: how many records there are is private."""
        self._look()
        return self._records.ids

    def batch(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Images and labels of the given ids."""
        self._look()
        return self._records.batch(ids)

    @contextmanager
    def authorised(self) -> Iterator[None]:
        """Looks in here are those of a release."""
        before, self._authorised = self._authorised, True
        try:
            yield
        finally:
            self._authorised = before

    def close(self) -> None:
        """The fit is over: every look from now on is late."""
        self._closed = True

    def _look(self) -> None:
        if self._closed:
            self.late += 1
        elif self._authorised:
            self.inside += 1
        else:
            self.outside += 1


@final
class WatchedDataset(PrivateDataset):
    """A private data set whose records know whether a release is going on."""

    def __init__(
        self, records: WatchedRecords, info: DatasetInfo, *, ledger: Ledger, noise: NoiseSource, context: RunContext
    ) -> None:
        super().__init__(records, info, ledger=ledger, noise=noise, context=context)
        self._watched = records

    def release(self, mechanism: Mechanism[R], *, label: str) -> R:
        """See `PrivateDataset.release`."""
        with self._watched.authorised():
            return super().release(mechanism, label=label)


@final
class EveryoneJoins(NoiseSource):
    """`source`, but every Poisson sample holds all records: a sensitivity must hold for every sample, also this one."""

    is_private = False

    def __init__(self, source: NoiseSource) -> None:
        self._source = source

    def under(self, label: str) -> EveryoneJoins:
        """The same source, addressed below `label`."""
        return EveryoneJoins(self._source.under(label))

    def gaussian(
        self, value: Floats, *, standard_deviation: float, sensitivity: float, step: int = 0, tensor: str = "value"
    ) -> Floats:
        """As `source` gives it."""
        return self._source.gaussian(
            value, standard_deviation=standard_deviation, sensitivity=sensitivity, step=step, tensor=tensor
        )

    def discrete_gaussian(
        self, counts: Integers, *, scale: float, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """As `source` gives it."""
        return self._source.discrete_gaussian(counts, scale=scale, sensitivity=sensitivity, step=step, tensor=tensor)

    def geometric(
        self, counts: Integers, *, scale: int, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """As `source` gives it."""
        return self._source.geometric(counts, scale=scale, sensitivity=sensitivity, step=step, tensor=tensor)

    def poisson_subset(self, ids: Integers, *, probability: float, step: int = 0) -> Integers:
        """All of them, once `source` has accepted the arguments."""
        self._source.poisson_subset(ids, probability=probability, step=step)
        return np.asarray(ids, dtype=np.int64)

    def choose(self, ids: Integers, *, draws: int, least: int, step: int = 0) -> Integers:
        """As `source` gives it."""
        return self._source.choose(ids, draws=draws, least=least, step=step)

    def row_random(self, ids: Integers, *, views: int, step: int = 0, device: torch.device) -> RowRandom:
        """As `source` gives it."""
        return self._source.row_random(ids, views=views, step=step, device=device)
