"""The contract of secret randomness: `NoiseSource`, and `RowRandom` for the rows of one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NO_RECORD: Final = -1
"""The id of padding: record ids are never negative."""


class RowRandom(ABC):
    """Secret randomness for the rows of a batch (diffusion time, noise, flips): examples in order, views within each.

    Each call gives fresh draws; the same calls in the same order give the same draws again.
    """

    @abstractmethod
    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws `[rows, *shape]`, float32, on the device asked for."""

    @abstractmethod
    def uniform(self, *shape: int) -> Tensor:
        """Uniform draws in [0, 1) `[rows, *shape]`, float32, on the device asked for."""


class NoiseSource(ABC):
    """Secret draws by address: (the labels given to `under`, what the draw is for, step, tensor name).

    The same address gives the same draw; two addresses never share one.
    """

    is_private: ClassVar[bool]
    """False for test doubles: every record of a run that used one is stamped "not private"."""

    @abstractmethod
    def under(self, label: str) -> NoiseSource:
        """The same source, addressed below `label`; nesting adds up: `under("a").under("b")` is not `under("ab")`."""

    @abstractmethod
    def gaussian(
        self, value: Floats, *, standard_deviation: float, sensitivity: float, step: int = 0, tensor: str = "value"
    ) -> Floats:
        """`value` plus independent N(0, standard_deviation^2) on every entry, in float64.

        `sensitivity` is the L2 distance that `value` may move between neighbours: unused by the arithmetic, checked
        by record and replay. The sum is ordinary floating point, not a certified sampler: see the known limits.

        Raises: `InvalidValue` for a negative deviation; `SensitivityError` for a sensitivity that is no bound, or a
        value that is not finite (noise would not hide it).
        """

    def prepare_gaussian(self, shapes: Mapping[str, tuple[int, ...]], *, step: int = 0) -> None:
        """A hint that `gaussian` will be asked for these tensors at `step`: a source may draw in the background.

        It changes no draw and promises nothing; a source that ignores it, as this one does, is right too.
        """
        return

    @abstractmethod
    def discrete_gaussian(
        self, counts: Integers, *, scale: float, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """`counts` plus exact discrete Gaussian noise on every entry: P(x) proportional to exp(-x^2 / (2 scale^2)).

        No rounding anywhere in the law. Source: Canonne, Kamath, Steinke 2020, arXiv 2004.00010, algorithms 1 to 3.

        Raises: `InvalidValue` for a scale outside [2^-20, 2^40] or counts that are not whole numbers;
        `SensitivityError` for a sensitivity that is no bound.
        """

    @abstractmethod
    def geometric(
        self, counts: Integers, *, scale: int, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        """`counts` plus exact one-sided noise on every entry: P(k) proportional to exp(-k / scale) for k = 0, 1, 2, ...

        The noisy counts themselves must stay secret (noise that is never negative betrays them); what may be released
        is which of them is largest. No rounding anywhere in the law.

        Raises: `InvalidValue` for a scale that is no integer in [1, 2^40] or counts that are not whole numbers;
        `SensitivityError` for a sensitivity that is no bound.
        """

    @abstractmethod
    def poisson_subset(self, ids: Integers, *, probability: float, step: int = 0) -> Integers:
        """The ids that joined, in the order given: each independently, by a coin that belongs to (step, id).

        The coin has 53 bits, so the probability in force is `probability` rounded down to a multiple of 2^-53: never
        more than what is priced, and a lower inclusion probability never costs more.
        """

    @abstractmethod
    def choose(self, ids: Integers, *, draws: int, least: int, step: int = 0) -> Integers:
        """`draws` independent choices among `max(len(ids), least)` places, each exactly uniform.

        A place beyond the ids gives `NO_RECORD`: that is how a set is filled up to `least`. Who was chosen is secret:
        the privacy of what is released about the choices rests on it.

        Raises: `InvalidValue` unless `draws` >= 0 and `least` >= 1 are whole numbers.
        """

    @abstractmethod
    def row_random(self, ids: Integers, *, views: int, step: int = 0, device: torch.device) -> RowRandom:
        """Randomness for the `len(ids) * views` rows of these records at one step, example-major.

        A draw belongs to (label, step, record id, view, number of the call): whichever other records are asked for,
        in this call or in another one, it is the same. `NO_RECORD` as an id stands for padding.
        """
