"""What the cells of a grid would cost, before any of them is run. No data is opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dpgen.accountants.pricing import PricedCharge
from dpgen.errors import DpgenError
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.grid.cells import Cell
from dpgen.pipeline.grid.notes import Note
from dpgen.pipeline.planning import prepare
from dpgen.plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class Priced:
    """One row of cells, which differ in their seed alone: its plan's prices, or why there is none."""

    cell: Cell
    seeds: int
    prices: tuple[PricedCharge, ...]
    delta: float
    error: str = ""


def priced(cells: Iterable[Cell], registry: Registry) -> tuple[Priced, ...]:
    """The price of each row, in order; a row that cannot be planned says why."""
    grouped: dict[object, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(cell.row, []).append(cell)
    return tuple(_priced(group[0], len(group), registry) for group in grouped.values())


def refuse_unplannable(cells: Sequence[Cell], registry: Registry) -> list[Cell]:
    """The cells that can be planned; each of the others gets a note of why not, as a cell that failed."""
    errors = {row.cell.row: row.error for row in priced(cells, registry) if row.error}
    for cell in cells:
        if cell.row in errors:
            folder = RunFolder(cell.config.run.folder).root.parent
            folder.mkdir(parents=True, exist_ok=True)
            replace(Note.of(folder), at="", error=errors[cell.row]).write(folder)
    return [cell for cell in cells if cell.row not in errors]


def _priced(cell: Cell, seeds: int, registry: Registry) -> Priced:
    try:
        prepared = prepare(cell.config, registry, data_at_hand=False, origin=cell.name)
    except DpgenError as error:
        return Priced(cell, seeds, (), 0.0, f"{type(error).__name__} {error.code}: {error}")
    return Priced(cell, seeds, prepared.prices, prepared.budget.delta)
