"""Kill a run with SIGKILL at a chosen point, in a process of its own, and look at what is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from dpgen.config import Config
from dpgen.mechanisms.context import Advance, Progress
from dpgen.pipeline import run
from dpgen.storage import failing
from dpgen.testing.toy_run import toy_registry

TIMEOUT_SECONDS = 120.0
IMPORTED_ONCE = (
    *(
        "dpgen.accountants.gdp",
        "dpgen.accountants.pld",
        "dpgen.accountants.prv",
        "dpgen.accountants.rdp",
    ),
    "dpgen.plugins.builtin",
    "torch._dynamo",  # by the first optimizer that is made
)
"""What every run imports late; the server that the processes are forked from imports it before."""


@final
@dataclass(frozen=True)
class InPhase:
    """The moment at which `phase` has done at least `steps` steps."""

    phase: str
    steps: int = 0


@final
@dataclass(frozen=True)
class AtStorage:
    """The moment before the `nth` time (from 0) that `operation` is done to a file called `name`, or to any for ""."""

    operation: str
    name: str
    nth: int = 0


def run_until_killed(config: Config, point: InPhase | AtStorage) -> bool:
    """Run `config` with the toy registry in a new process that kills itself at `point`. Was it killed?

    False means that the run ended before it came to `point`. Raises: `RuntimeError` when it failed otherwise.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, *IMPORTED_ONCE])
    child = processes.Process(target=_run, args=(config, point))
    child.start()
    child.join(TIMEOUT_SECONDS)
    if child.exitcode not in (0, -signal.SIGKILL):
        child.kill()
        raise RuntimeError(f"expected the run to end or to be killed at {point}; found exit code {child.exitcode}")
    return child.exitcode == -signal.SIGKILL


def _run(config: Config, point: InPhase | AtStorage) -> None:
    seen = 0

    def hook(operation: str, path: Path) -> None:
        nonlocal seen
        if isinstance(point, AtStorage) and operation == point.operation and point.name in ("", path.name):
            if seen == point.nth:
                _die()
            seen += 1

    with failing(hook):
        run(config, registry=toy_registry(), progress=_Deadly(point))


@final
class _Deadly(Progress):
    """Progress that ends the process when it comes to the point."""

    def __init__(self, point: InPhase | AtStorage) -> None:
        self._point = point

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Count the steps of the phase, up to the point."""
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if isinstance(self._point, InPhase) and phase == self._point.phase and done >= self._point.steps:
                _die()

        advance(0)
        yield advance


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
