"""Runs the cells of a grid: several at once where there are devices, one after another on each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, final

import torch

from dpgen import validate
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.grid.cells import Cell
from dpgen.pipeline.grid.notes import Note
from dpgen.pipeline.grid.worker import RegistryOf, work
from dpgen.plugins.registry import default_registry

_IMPORTED_ONCE: Final = (
    "dpgen.pipeline.run",
    "dpgen.accountants.pld",
    "dpgen.mechanisms.dp_sgd",
    "dpgen.plugins.builtin",
    "matplotlib.figure",
    "scipy.stats",
    "torch._dynamo",
)
"""What every cell needs; the server that the cells' processes are forked from imports it before."""

Told = Callable[[Cell, str], None]
"""Hears of a cell that it "begins", "goes on", "is done", or "failed"."""


@final
@dataclass(frozen=True)
class _Busy:
    """A cell at work. Closing `alive` ends it, and so does the end of this process."""

    cell: Cell
    device: str
    process: BaseProcess
    alive: Connection


def devices(jobs: int | None = None) -> tuple[str, ...]:
    """What cells are run on: every CUDA device once, else "auto" once; with `jobs`, so many, in turn."""
    cards = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) or ("auto",)
    if jobs is None:
        return cards
    validate.count(1, jobs=jobs)
    return tuple(cards[job % len(cards)] for job in range(jobs))


def run_cells(
    cells: Iterable[Cell],
    *,
    on: Sequence[str] = ("auto",),
    told: Told = lambda cell, what: None,
    registry_of: RegistryOf = default_registry,
) -> None:
    """Run every cell that is not finished, each in its own process; a cell that fails does not stop the others.

    A cell that was begun goes on where it was. Cells that share a name are one run. When this process ends, in whatever
    way, so do the cells at work; calling it again goes on.
    Args: `on` one device for each cell at a time; a cell whose configuration names a device keeps it.
    """
    left, free, busy = iter(_unfinished(cells)), list(on), list[_Busy]()
    try:
        while True:
            while free and (cell := next(left, None)) is not None:
                told(cell, "goes on" if RunFolder(cell.config.run.folder).begun else "begins")
                busy.append(_begun(cell, free.pop(0), registry_of))
            if not busy:
                return
            wait([one.process.sentinel for one in busy])
            for one in [one for one in busy if not one.process.is_alive()]:
                busy.remove(one)
                free.append(one.device)
                told(one.cell, _ended(one))
    finally:
        for one in busy:
            one.process.kill()
            one.process.join()
            one.alive.close()


def _unfinished(cells: Iterable[Cell]) -> Iterator[Cell]:
    seen: set[str] = set()
    for cell in cells:
        if cell.name not in seen and not RunFolder(cell.config.run.folder).finished:
            yield cell
        seen.add(cell.name)


def _begun(cell: Cell, device: str, registry_of: RegistryOf) -> _Busy:
    compute = cell.config.compute
    if compute.device == "auto":
        compute = compute.model_copy(update={"device": device})
    config = cell.config.model_copy(update={"compute": compute})
    context = multiprocessing.get_context("forkserver")  # forked from here, it would hold the pipes of the others
    context.set_forkserver_preload([work.__module__, *_IMPORTED_ONCE])
    theirs, ours = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(config, theirs, registry_of), name=cell.name)
    process.start()
    theirs.close()
    return _Busy(cell, device, process, ours)


def _ended(one: _Busy) -> str:
    """How a cell ended; one that died without a word gets its note from here."""
    one.process.join()
    with suppress(OSError):
        one.alive.close()
    folder = RunFolder(one.cell.config.run.folder)
    if folder.finished:
        return "is done"
    note = Note.of(folder.root.parent)
    if not note.error:
        folder.root.parent.mkdir(parents=True, exist_ok=True)
        replace(note, error=f"its process ended with exit code {one.process.exitcode}").write(folder.root.parent)
    return "failed"
