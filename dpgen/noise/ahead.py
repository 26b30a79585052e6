"""Standard normal draws made in the background, before the value that they will be added to is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias, final

if TYPE_CHECKING:
    from dpgen.noise.base import Floats

Place: TypeAlias = tuple[int, str]
"""Step and tensor."""
Shape: TypeAlias = tuple[int, ...]

_THREADS: Final = max(1, min(4, (os.cpu_count() or 1) - 1))


@final
class DrawnAhead:
    """The draws of one step, on their way. What was not asked for, or in another shape, is simply not here.

    numpy gives up the interpreter's lock while it draws, so the threads truly run beside the computation. They end
    by themselves with the last draw: an error or an interrupt elsewhere leaves none waiting for anything.
    """

    def __init__(self) -> None:
        self._coming: dict[Place, tuple[Shape, Future[Floats]]] = {}

    def start(self, draw: Callable[[Place, Shape], Floats], wanted: Mapping[Place, Shape]) -> None:
        """Begin to `draw` each place; what was begun before and not taken is dropped."""
        self.drop()
        if not wanted:
            return
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dpgen-noise")
        self._coming = {place: (shape, pool.submit(draw, place, shape)) for place, shape in wanted.items()}
        pool.shutdown(wait=False)

    def take(self, place: Place, shape: Shape) -> Floats | None:
        """The draws of `place` in `shape`, given away once; None where they were not begun."""
        if self._coming.get(place, (None,))[0] != shape:
            return None
        return self._coming.pop(place)[1].result()

    def drop(self) -> None:
        """Forget what was begun."""
        for _, future in self._coming.values():
            future.cancel()
        self._coming = {}
