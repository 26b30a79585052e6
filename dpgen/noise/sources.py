"""The two noise sources: the secure one of every private run, and the seeded one of tests."""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC
from collections.abc import Mapping
from typing import ClassVar, Self, final

import numpy as np
import torch

from dpgen import validate
from dpgen.errors import InvalidValue, SensitivityError
from dpgen.noise.ahead import DrawnAhead
from dpgen.noise.base import NO_RECORD, Floats, Integers, NoiseSource, RowRandom
from dpgen.noise.discrete import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    sample_discrete_gaussian,
    sample_geometric,
    uniform_below,
)
from dpgen.noise.rows import RecordRows
from dpgen.noise.streams import KEY_BYTES, Address

_COINS_AT_ONCE = 1 << 20
_DRAWS_WORTH_A_THREAD = 1 << 16


class KeyedNoise(NoiseSource, ABC):
    """What both sources share: every draw comes from the ChaCha20 stream of its address."""

    def __init__(self, key: bytes) -> None:
        self._address, self._ahead = Address(key), DrawnAhead()

    def under(self, label: str) -> Self:
        """The same source, addressed below `label`."""
        below = object.__new__(type(self))
        below._address, below._ahead = self._address.below(label), DrawnAhead()
        return below

    def gaussian(
        self, value: Floats, *, standard_deviation: float, sensitivity: float, step: int = 0, tensor: str = "value"
    ) -> Floats:
        """`value` plus independent N(0, standard_deviation^2) on every entry, in float64."""
        validate.not_negative(standard_deviation=standard_deviation)
        _require_bound(sensitivity)
        exact = np.asarray(value, dtype=np.float64)
        if not np.isfinite(exact).all():
            raise SensitivityError(
                "a value to be noised must be finite; found NaN or infinity, which no noise hides. "
                "Bound every record's contribution first; a record that is not finite contributes 0."
            )
        ready = self._ahead.take((step, tensor), exact.shape)
        noisy = self._standard_normal((step, tensor), exact.shape) if ready is None else ready
        noisy *= standard_deviation  # in place: a gradient is large and this runs at every step
        noisy += exact
        return noisy

    def prepare_gaussian(self, shapes: Mapping[str, tuple[int, ...]], *, step: int = 0) -> None:
        """Begin the draws in the background where they take longer than threads take to start."""
        worth_it = sum(map(math.prod, shapes.values())) >= _DRAWS_WORTH_A_THREAD
        wanted = {(step, tensor): tuple(shape) for tensor, shape in shapes.items()}
        self._ahead.start(self._standard_normal, wanted if worth_it else {})

    def _standard_normal(self, place: tuple[int, str], shape: tuple[int, ...]) -> Floats:
        """A function of the address and the shape alone, whichever thread draws and when."""
        return np.asarray(self._address.stream("gaussian", *place).generator().standard_normal(shape))

    def discrete_gaussian(
        self, counts: Integers, *, scale: float, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """`counts` plus exact discrete Gaussian noise of parameter `scale` on every entry."""
        validate.positive(scale=scale)
        _require_bound(sensitivity)
        if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
            raise InvalidValue(f"scale must lie in [2^-20, 2^40] counts; found {scale!r}. Rescale the counts.")
        exact = _whole(counts)
        stream = self._address.stream("discrete gaussian", step, tensor)
        noise = sample_discrete_gaussian(exact.size, float(scale), stream)
        return np.asarray(exact + noise.reshape(exact.shape))

    def geometric(
        self, counts: Integers, *, scale: int, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """`counts` plus exact one-sided geometric noise of parameter `scale` on every entry."""
        validate.count(1, scale=scale)
        _require_bound(sensitivity)
        if scale > LARGEST_SCALE:
            raise InvalidValue(f"scale must lie in [1, 2^40] counts; found {scale!r}. Rescale the counts.")
        exact = _whole(counts)
        noise = sample_geometric(exact.size, scale, self._address.stream("geometric", step, tensor))
        return np.asarray(exact + noise.reshape(exact.shape))

    def poisson_subset(self, ids: Integers, *, probability: float, step: int = 0) -> Integers:
        """The ids that joined: each independently with `probability`, by a coin that belongs to (step, id)."""
        validate.probability(probability=probability)
        ids = np.asarray(ids, dtype=np.int64)
        if ids.size and ids.min() < 0:
            raise InvalidValue("record ids must be >= 0; found a negative one. Number the records from 0.")
        # floor(probability * 2^53): the product with a power of two is exact, so the coin never favours joining.
        threshold = np.uint64(math.floor(math.ldexp(probability, 53)))
        stream = self._address.stream("poisson", step)
        joined = np.zeros(ids.shape, dtype=np.bool_)
        last = int(ids.max(initial=-1))
        for first in range(0, last + 1, _COINS_AT_ONCE):  # the coin of id i is word i of the stream
            after = min(first + _COINS_AT_ONCE, last + 1)
            heads = (stream.words(after - first) >> np.uint64(11)) < threshold
            here = (ids >= first) & (ids < after)
            joined[here] = heads[ids[here] - first]
        return ids[joined]

    def choose(self, ids: Integers, *, draws: int, least: int, step: int = 0) -> Integers:
        """`draws` exactly uniform choices among `max(len(ids), least)` places; `NO_RECORD` beyond the ids."""
        validate.count(0, draws=draws)
        validate.count(1, least=least)
        ids = np.asarray(ids, dtype=np.int64)
        places = uniform_below(max(len(ids), least), draws, self._address.stream("choice", step))
        return np.append(ids, NO_RECORD)[np.minimum(places, len(ids))]

    def row_random(self, ids: Integers, *, views: int, step: int = 0, device: torch.device) -> RowRandom:
        """Philox on `device`, keyed by secret words of (label, step) and addressed by record and view."""
        validate.count(1, views=views)
        return RecordRows(self._address.stream("rows", step), ids, views, device)

    def __reduce__(self) -> str:
        raise TypeError("a noise source holds the run key and cannot be pickled; make one in each process")


@final
class SecureNoise(KeyedNoise):
    """Cryptographic randomness: ChaCha20 under a 256-bit run key from the operating system.

    Who has the key and the release can subtract the noise: keep the key inside `internal/` and delete it at the end.
    """

    is_private: ClassVar[bool] = True

    def __init__(self, key: bytes | None = None) -> None:
        """Args: `key`, 32 bytes, only to continue a run; by default a new one from the operating system."""
        super().__init__(os.urandom(KEY_BYTES) if key is None else key)

    @property
    def key(self) -> bytes:
        """The run key, to be stored where only the owner of the data can read it."""
        return self._address.key


@final
class SeededNoise(KeyedNoise):
    """For tests and replay: everything follows from a public seed, so nothing is hidden from anybody."""

    is_private: ClassVar[bool] = False

    def __init__(self, seed: int) -> None:
        validate.count(0, seed=seed)
        super().__init__(hashlib.sha256(f"dpgen seeded noise {seed}".encode()).digest())


def _whole(counts: Integers) -> Integers:
    exact = np.asarray(counts)
    if not np.issubdtype(exact.dtype, np.integer):
        raise InvalidValue(f"counts must be integers; found {exact.dtype}. Use `gaussian` for real values.")
    return exact.astype(np.int64)


def _require_bound(sensitivity: float) -> None:
    if not (isinstance(sensitivity, (int, float)) and math.isfinite(sensitivity) and sensitivity >= 0):
        raise SensitivityError(
            f"the sensitivity must be a finite number >= 0; found {sensitivity!r}. "
            "Take it from the object that bounds each record's contribution."
        )
