"""What record and replay compare: noise calls, the tape of a run, and how far a neighbour moved each release."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dpgen.errors import PrivacyError

Array: TypeAlias = NDArray[Any]
Path: TypeAlias = tuple[str, ...]

SELECTIONS: Final = ("poisson subset", "choice")
"""Kinds of calls that draw which records are used, and add no noise."""


class ReplayMismatch(PrivacyError):
    """The neighbour took another path, moved a value further than declared, or released something else."""


class MovedTooFar(ReplayMismatch):
    """A value that was about to be noised moved by more than the declared sensitivity."""


@dataclass(frozen=True, slots=True)
class NoiseAddress:
    """Where a noise call stands: what it draws, below which labels, at which step, for which tensor."""

    kind: str
    path: Path
    step: int
    tensor: str

    @property
    def release(self) -> str:
        """The labels, for messages."""
        return "/".join(self.path) or "unnamed"

    def __str__(self) -> str:
        return f"{self.kind} of {self.tensor!r} at step {self.step}, release {self.release!r}"


@dataclass(frozen=True, slots=True)
class NoiseCall:
    """One recorded call: `value` went in, `released` came out, with noise of `scale`."""

    address: NoiseAddress
    scale: float
    sensitivity: float
    value: Array
    released: Array


@dataclass(frozen=True)
class Tape:
    """All noise calls of one run in order, the seed of its coins, and what it released in the end."""

    seed: int
    calls: list[NoiseCall] = field(default_factory=list)
    release: list[Array] = field(default_factory=list)


class Comparison:
    """Where on the tape a replay stands, and how far each release has moved so far."""

    def __init__(self, tape: Tape, *, changed_ids: int, tolerance: float) -> None:
        self._tape, self._changed_ids, self._tolerance = tape, changed_ids, tolerance
        self._position = 0
        self._moved: dict[tuple[str, Path, int], float] = {}

    def released(self, address: NoiseAddress, value: Array, scale: float, sensitivity: float) -> Array:
        """What the recorded call at this place gave, after comparing the two calls."""
        if self._position == len(self._tape.calls):
            raise ReplayMismatch(f"expected no further noise call; found {address}. The path depends on a record.")
        call = self._tape.calls[self._position]
        self._position += 1
        if call.address != address:
            raise ReplayMismatch(f"expected {call.address}; found {address}. The path depends on a record.")
        if (call.scale, call.sensitivity) != (scale, sensitivity):
            raise ReplayMismatch(
                f"expected scale {call.scale:.6g} and sensitivity {call.sensitivity:.6g} for {address}; found "
                f"{scale:.6g} and {sensitivity:.6g}. The noise depends on a record."
            )
        if address.kind in SELECTIONS:
            self._compare_population(call, value)
        else:
            self._compare_value(call, value)
        return call.released.copy()

    def finish(self, release: Sequence[Array]) -> None:
        """The tape must be used up and the release must be what the recorded run released."""
        if self._position < len(self._tape.calls):
            missing = self._tape.calls[self._position].address
            raise ReplayMismatch(f"expected {missing}; found the end of the run. The path depends on a record.")
        same = len(release) == len(self._tape.release) and all(map(_equal, release, self._tape.release))
        if not same:
            raise ReplayMismatch(
                "equal noised values must give an equal release; found another one. Something besides the noised "
                "values reaches it (the actual batch size, a count, a record)."
            )

    def _compare_population(self, call: NoiseCall, ids: Array) -> None:
        changed = np.setxor1d(call.value, ids).size
        if changed > self._changed_ids:
            raise ReplayMismatch(
                f"a sample may be drawn from all records only, {self._changed_ids} id(s) apart between neighbours; "
                f"found {changed} apart, {call.address}."
            )

    def _compare_value(self, call: NoiseCall, value: Array) -> None:
        """All tensors of one (release, step) are one vector: their movements add up in squares."""
        address = call.address
        if call.value.shape != value.shape:
            raise ReplayMismatch(
                f"expected shape {call.value.shape} for {address}; found {value.shape}. A shape depends on a record."
            )
        key = (address.kind, address.path, address.step)
        distance = float(np.linalg.norm((value.astype(np.float64) - call.value.astype(np.float64)).ravel()))
        self._moved[key] = math.hypot(self._moved.get(key, 0.0), distance)
        if not self._moved[key] <= call.sensitivity * (1 + self._tolerance):  # also true for NaN
            raise MovedTooFar(
                f"input moved {self._moved[key]:.3g}, declared sensitivity {call.sensitivity:.3g}, "
                f"release {address.release!r} (step {address.step}, up to tensor {address.tensor!r})"
            )


def _equal(first: Array, second: Array) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def arrays(value: Any) -> list[Array]:
    """Everything in a release, flat: tensors, numbers, text, and containers of them."""
    if isinstance(value, Tensor):
        return [value.detach().cpu().numpy().copy()]
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [a for key in sorted(value) for a in arrays(value[key])]
    if isinstance(value, (list, tuple)):
        return [a for item in value for a in arrays(item)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [a for f in dataclasses.fields(value) for a in arrays(getattr(value, f.name))]
    return [np.asarray(value)]
