"""The one source of secret randomness: the noise itself, Poisson subsets, and the randomness inside a record's loss.

CONTRACT (to be implemented in this file):
- every draw is a function of (run key, label, step, tensor name): the same address gives the same draw, two addresses
  never share one. `under(label)` narrows the address; nesting concatenates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class RowRandom(ABC):
    """Secret randomness for the rows of a batch (diffusion time, noise, flips): examples in order, views within each."""

    @abstractmethod
    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`, float32, on the device asked for."""

    @abstractmethod
    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`, float32."""


class NoiseSource(ABC):
    """See the module docstring."""

    is_private: ClassVar[bool]
    """False for test doubles: every record of a run that used one is stamped "not private"."""

    @abstractmethod
    def under(self, label: str) -> NoiseSource:
        """The same source, addressed below `label`."""

    @abstractmethod
    def gaussian(
        self, value: Floats, *, standard_deviation: float, sensitivity: float, step: int = 0, tensor: str = "value"
    ) -> Floats:
        """`value` plus independent N(0, standard_deviation^2) on every entry, in float64.

        `sensitivity` is the L2 distance that `value` may move between neighbours: unused by the arithmetic, checked
        by record and replay.
        """

    @abstractmethod
    def discrete_gaussian(
        self, counts: Integers, *, scale: float, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """`counts` plus exact discrete Gaussian noise of parameter `scale` on every entry."""

    @abstractmethod
    def poisson_subset(self, ids: Integers, *, probability: float, step: int = 0) -> Integers:
        """The ids that joined: each independently with `probability`, by a coin that belongs to (step, id)."""

    @abstractmethod
    def row_random(self, ids: Integers, *, views: int, step: int = 0, chunk: int = 0, device: torch.device) -> RowRandom:
        """Randomness for the rows `len(ids) * views` of one physical batch (`chunk`) of one step."""
