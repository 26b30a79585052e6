"""One cell in a process of its own, which ends when the process that began it is gone."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from threading import Thread

from dpgen.config import Config
from dpgen.errors import DpgenError
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.grid.notes import Clock
from dpgen.plugins.registry import Registry

RegistryOf = Callable[[], Registry]


def work(config: Config, alive: Connection, registry_of: RegistryOf) -> None:
    """Begin the run of a cell, or go on with it. Its end, good or bad, is noted beside the run folder.

    Args: `alive` a pipe that its other end never writes to, and closes when it dies.
    """
    Thread(target=_follow, args=(alive,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of the process that began this one
    folder = RunFolder(config.run.folder)
    clock = Clock(folder.root.parent)
    with (
        (folder.root.parent / "log.txt").open("a", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        with clock.ticking():
            error = _attempt(config, folder, clock, registry_of)
        clock.end(error)


def _attempt(config: Config, folder: RunFolder, clock: Clock, registry_of: RegistryOf) -> str:
    """Run, and say what went wrong; nothing for a run that came to its end."""
    from dpgen.pipeline.run import run

    try:
        run(config, registry=registry_of(), progress=clock, resume=folder.begun)
    except Exception as error:
        return told(error)
    return ""


def told(error: Exception) -> str:
    """What may be said of an error: the text of an unforeseen one is withheld, it may quote private values."""
    name = type(error).__name__
    if isinstance(error, DpgenError):
        return f"{name} {error.code}: {error}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} in {place.name} ({place.filename}:{place.lineno}); its text is withheld"


def _follow(alive: Connection) -> None:
    """End at once when the other end of the pipe is closed: a run can be ended at any moment and resumed."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
