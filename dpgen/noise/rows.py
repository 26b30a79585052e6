"""The randomness inside a record's loss: fast on a device, or addressed by record for record and replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpgen.noise.base import RowRandom
from dpgen.noise.streams import Stream


@final
class DeviceRows(RowRandom):
    """A fast generator of the device, seeded with 63 secret bits of `stream`.

    The device generator is not cryptographic. It need not be: the guarantee rests on the Gaussian noise alone, which
    never comes from here. These draws must only be unknown beforehand and fresh in each (label, step, chunk).
    """

    def __init__(self, stream: Stream, rows: int, device: torch.device) -> None:
        self._rows, self._device = rows, device
        self._generator = torch.Generator(device).manual_seed(int(stream.words(1)[0]) >> 1)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`."""
        return torch.randn(self._rows, *shape, generator=self._generator, device=self._device, dtype=torch.float32)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`."""
        return torch.rand(self._rows, *shape, generator=self._generator, device=self._device, dtype=torch.float32)


@final
class RecordRows(RowRandom):
    """One stream per record, views within it: removing a record changes no draw of another one."""

    def __init__(self, streams: Sequence[Stream], views: int, device: torch.device) -> None:
        self._generators = [stream.generator() for stream in streams]
        self._views, self._device = views, device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`."""
        size = (self._views, *shape)
        return self._joined([g.standard_normal(size, dtype=np.float32) for g in self._generators], shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`."""
        size = (self._views, *shape)
        return self._joined([g.random(size, dtype=np.float32) for g in self._generators], shape)

    def _joined(self, draws: list[NDArray[np.float32]], shape: tuple[int, ...]) -> Tensor:
        rows = np.concatenate(draws) if draws else np.empty((0, *shape), dtype=np.float32)
        return torch.from_numpy(rows.reshape(len(draws) * self._views, *shape)).to(self._device)


@final
class PublicRows(RowRandom):
    """Rows from a public generator: for public or made-up images only."""

    def __init__(self, rows: int, generator: torch.Generator, device: torch.device) -> None:
        self._rows, self._generator, self._device = rows, generator, device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`."""
        return torch.randn(self._rows, *shape, generator=self._generator).to(self._device)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`."""
        return torch.rand(self._rows, *shape, generator=self._generator).to(self._device)
