"""Several processes of one run on this machine: for tests of what is done together."""

from __future__ import annotations

import importlib.util
import inspect
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, final

import torch

from dpgen.distributed import connected
from dpgen.testing.crash import IMPORTED_ONCE

TIMEOUT_SECONDS = 120.0


@final
@dataclass(frozen=True)
class Outcome:
    """How one process ended: with a `value`, with an error of `kind` and `text`, or killed, where all are None."""

    value: Any = None
    kind: str | None = None
    text: str | None = None


def together(size: int, function: Callable[..., Any], *arguments: Any, step_seconds: float = 60.0) -> list[Outcome]:
    """Call `function(world, *arguments)` in `size` new processes that share a world; how each ended, by rank.

    `function` is found again by its file and name, so it must stand at the top of a module; `arguments` and what it
    returns are pickled. The processes meet in a file: no port is used. Raises: `TimeoutError` after two minutes.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, *IMPORTED_ONCE, "pytest", "scipy.stats"])
    with tempfile.TemporaryDirectory() as folder:
        place = f"file://{folder}/meeting"
        found = (inspect.getfile(function), function.__qualname__)
        children = []
        for rank in range(size):
            ours, theirs = processes.Pipe(duplex=False)
            task = (theirs, rank, size, place, step_seconds, *found, arguments)
            child = processes.Process(target=_child, args=task)
            child.start()
            theirs.close()
            children.append((child, ours))
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            return [_outcome(ours, deadline) for _, ours in children]
        finally:
            for child, ours in children:
                child.join(max(0.0, min(5.0, deadline - time.monotonic())))
                child.kill()
                ours.close()


def _outcome(pipe: Connection, deadline: float) -> Outcome:
    if not pipe.poll(max(0.0, deadline - time.monotonic())):
        raise TimeoutError(f"expected every process to end within {TIMEOUT_SECONDS:g} seconds; found one at work")
    try:
        outcome = pickle.loads(pipe.recv_bytes())
    except EOFError:
        return Outcome()
    assert isinstance(outcome, Outcome)
    return outcome


def _child(
    pipe: Connection,
    rank: int,
    size: int,
    place: str,
    step_seconds: float,
    file: str,
    name: str,
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    try:
        with connected(rank, size, local_rank=rank, meeting_place=place, step_seconds=step_seconds) as world:
            outcome = Outcome(_function(Path(file), name)(world, *arguments))
    except Exception as error:
        outcome = Outcome(kind=type(error).__name__, text=str(error))
    pipe.send_bytes(pickle.dumps(outcome))  # by value: what `send` shares of a tensor is gone with this process


def _function(file: Path, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"together_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(module, name)
    return function
