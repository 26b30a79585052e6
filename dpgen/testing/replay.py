"""Record on D, replay on a neighbour: finds in one run the leaks that statistics would need millions of samples for.

`record` runs something on D and keeps every value that was about to be noised and what came out. `replay` runs it on
a neighbour D' and feeds the same outputs back, with the same coins. Whatever is differentially private by adding noise
must then take the same path: the same noise calls at the same addresses with the same shapes and scales, inputs that
moved by at most the declared sensitivity, and in the end the very same release.

    tape = record(measuring(mechanism, records, relation=ADD_OR_REMOVE_ONE))
    replay(measuring(mechanism, records.without(3), relation=ADD_OR_REMOVE_ONE), tape)

Works for anything that takes a `NoiseSource`; randomness inside a record's loss is addressed by (step, record id), so
a missing record shifts no other record's draws. A replay that passes is evidence for the pair tried, not a proof.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar, final

import numpy as np
import torch

from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.noise import Floats, Integers, NoiseSource, RowRandom, SeededNoise
from dpgen.testing.tape import Array, Comparison, NoiseAddress, NoiseCall, Path, ReplayMismatch, Tape, arrays

__all__ = ["RecordingNoise", "ReplayMismatch", "ReplayNoise", "Tape", "measuring", "record", "replay"]

R = TypeVar("R")
Run = Callable[[NoiseSource], Any]

TOLERANCE: Final = 1e-3
"""Relative excess over the sensitivity that rounding may cause: float32 sums change with their order."""


def measuring(
    mechanism: Mechanism[R], records: Records, *, relation: NeighboringRelation, context: RunContext | None = None
) -> Callable[[NoiseSource], R]:
    """`mechanism` on `records`, waiting for its noise. By default each run has a context of its own."""

    def run(noise: NoiseSource) -> R:
        return mechanism._measure(records, noise=noise, relation=relation, context=context or RunContext())

    return run


def record(run: Run, *, seed: int = 0) -> Tape:
    """Run with seeded noise and keep every noise call and the release."""
    tape = Tape(seed)
    result = run(RecordingNoise(SeededNoise(seed), tape))
    tape.release.extend(arrays(result))
    return tape


def replay(run: Run, tape: Tape, *, relation: NeighboringRelation | None = None, tolerance: float = TOLERANCE) -> None:
    """Run on a neighbour with the outputs of `tape` fed back.

    Args: `relation` only sets how many ids a Poisson sample's population may differ in (default: one record more or
    less); `tolerance` is relative to the declared sensitivity.
    Raises: `ReplayMismatch` saying which call, how far it moved and what was declared.
    """
    progress = Comparison(tape, changed_ids=2 if relation is REPLACE_ONE else 1, tolerance=tolerance)
    result = run(ReplayNoise(SeededNoise(tape.seed), progress))
    progress.finish(arrays(result))


class _TapedNoise(NoiseSource, ABC):
    """What recording and replaying share: coins and row draws come from `source`, noise calls go to `_noised`."""

    is_private: ClassVar[bool] = False

    def __init__(self, source: NoiseSource, path: Path = ()) -> None:
        self._source, self._path = source, path

    def gaussian(
        self, value: Floats, *, standard_deviation: float, sensitivity: float, step: int = 0, tensor: str = "value"
    ) -> Floats:
        def draw() -> Floats:
            return self._source.gaussian(
                value, standard_deviation=standard_deviation, sensitivity=sensitivity, step=step, tensor=tensor
            )

        address = NoiseAddress("gaussian", self._path, step, tensor)
        return self._noised(address, value, standard_deviation, sensitivity, draw)

    def prepare_gaussian(self, shapes: Mapping[str, tuple[int, ...]], *, step: int = 0) -> None:
        self._source.prepare_gaussian(shapes, step=step)

    def discrete_gaussian(
        self, counts: Integers, *, scale: float, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        def draw() -> Integers:
            return self._source.discrete_gaussian(
                counts, scale=scale, sensitivity=sensitivity, step=step, tensor=tensor
            )

        return self._noised(
            NoiseAddress("discrete gaussian", self._path, step, tensor), counts, scale, sensitivity, draw
        )

    def geometric(
        self, counts: Integers, *, scale: int, sensitivity: float, step: int = 0, tensor: str = "counts"
    ) -> Integers:
        def draw() -> Integers:
            return self._source.geometric(counts, scale=scale, sensitivity=sensitivity, step=step, tensor=tensor)

        return self._noised(NoiseAddress("geometric", self._path, step, tensor), counts, scale, sensitivity, draw)

    def poisson_subset(self, ids: Integers, *, probability: float, step: int = 0) -> Integers:
        joined = self._source.poisson_subset(ids, probability=probability, step=step)
        # The subset is secret, not released: only the population, the rate and the address must agree.
        self._noised(NoiseAddress("poisson subset", self._path, step, "ids"), ids, probability, 0.0, lambda: joined)
        return joined

    def choose(self, ids: Integers, *, draws: int, least: int, step: int = 0) -> Integers:
        chosen = self._source.choose(ids, draws=draws, least=least, step=step)
        # Secret too: only the population, how many draws from how many at least, and the address must agree.
        self._noised(NoiseAddress("choice", self._path, step, "ids"), ids, float(least), float(draws), lambda: chosen)
        return chosen

    def row_random(self, ids: Integers, *, views: int, step: int = 0, device: torch.device) -> RowRandom:
        return self._source.row_random(ids, views=views, step=step, device=device)

    @abstractmethod
    def _noised(
        self, address: NoiseAddress, value: Array, scale: float, sensitivity: float, draw: Callable[[], Array]
    ) -> Array:
        """What the caller gets instead of `draw()`."""


@final
class RecordingNoise(_TapedNoise):
    """Passes every call to `source` and writes it on `tape`."""

    def __init__(self, source: NoiseSource, tape: Tape, path: Path = ()) -> None:
        super().__init__(source, path)
        self._tape = tape

    def under(self, label: str) -> RecordingNoise:
        """The same tape, addressed below `label`."""
        return RecordingNoise(self._source.under(label), self._tape, (*self._path, label))

    def _noised(
        self, address: NoiseAddress, value: Array, scale: float, sensitivity: float, draw: Callable[[], Array]
    ) -> Array:
        released = draw()
        self._tape.calls.append(NoiseCall(address, scale, sensitivity, np.array(value), np.array(released)))
        return released


@final
class ReplayNoise(_TapedNoise):
    """Checks every call against the tape and returns what the tape holds."""

    def __init__(self, source: NoiseSource, comparison: Comparison, path: Path = ()) -> None:
        super().__init__(source, path)
        self._comparison = comparison

    def under(self, label: str) -> ReplayNoise:
        """The same tape, addressed below `label`."""
        return ReplayNoise(self._source.under(label), self._comparison, (*self._path, label))

    def _noised(
        self, address: NoiseAddress, value: Array, scale: float, sensitivity: float, draw: Callable[[], Array]
    ) -> Array:
        return self._comparison.released(address, np.asarray(value), scale, sensitivity)
