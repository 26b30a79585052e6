"""`dpgen bench`: a grid of runs, filled, resumed and shown as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from dpgen.cli.commands.options import Json, Overrides, Quiet

if TYPE_CHECKING:
    from dpgen.cli.output import Output
    from dpgen.pipeline.grid import Cell, Grid

GridFile = Annotated[Path, typer.Argument(help="TOML grid file.", show_default=False)]


def bench(
    grid: GridFile,
    out: Annotated[Optional[Path], typer.Option(help="The grid's folder; default runs/NAME.")] = None,  # noqa: UP045
    jobs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Cells at once; default: one on each CUDA device, else one.", min=1),
    ] = None,
    only: Annotated[str, typer.Option(help="Only cells whose folder name contains this, such as mnist-.")] = "",
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price every cell; run nothing.")] = False,
    table: Annotated[bool, typer.Option("--table", help="Show what is done; run nothing.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fill a grid of runs and print one table. Called again it goes on where it stopped, inside a run too."""
    from dpgen.cli.output import Output
    from dpgen.pipeline.grid import cells, read_grid

    read, output = read_grid(grid), Output(json=json, quiet=quiet)
    folder = out or Path("runs") / read.name
    every = cells(read, base=grid.parent, output=folder.absolute(), overrides=overrides or [])
    chosen = [cell for cell in every if only in cell.name]
    if dry_run:
        _show_prices(read, chosen, output)
        return
    if not table:
        _run(chosen, output, jobs)
    _show_results(read, chosen, output, folder)


def _run(cells: list[Cell], output: Output, jobs: int | None) -> None:
    """Run what can be planned and is not done; what cannot be planned is noted and does not stop the rest."""
    from dpgen.pipeline.grid.pricing import refuse_unplannable
    from dpgen.pipeline.grid.schedule import devices, run_cells
    from dpgen.plugins.registry import default_registry

    ready = refuse_unplannable(cells, default_registry())
    total, begun = len({cell.name for cell in ready}), set[str]()

    def told(cell: Cell, what: str) -> None:
        begun.add(cell.name)
        output.note(f"{len(begun)} of at most {total}: {cell.name} {what}")

    run_cells(ready, on=devices(jobs), told=told)


def _show_prices(grid: Grid, cells: list[Cell], output: Output) -> None:
    from dpgen.cli.grid_tables import sheets_table
    from dpgen.pipeline.grid.pricing import priced
    from dpgen.pipeline.grid.sheets import price_sheets
    from dpgen.plugins.registry import default_registry

    rows = priced(cells, default_registry())
    data = [
        {
            "coordinates": dict(row.cell.coordinates),
            "seeds": row.seeds,
            "delta": row.delta,
            "error": row.error,
            "charges": [
                {"label": line.label, "noise_multiplier": line.noise_multiplier, "epsilon": line.cumulative_epsilon}
                for line in row.prices
            ],
        }
        for row in rows
    ]
    runs = len({cell.name for cell in cells})
    shown = sheets_table(price_sheets(grid, rows)), f"{runs} runs. No data was opened."
    output.result({"rows": data, "runs": runs}, *shown)
    if any(row.error for row in rows):
        raise typer.Exit(1)


def _show_results(grid: Grid, cells: list[Cell], output: Output, folder: Path) -> None:
    from dpgen.cli.grid_tables import sheets_table
    from dpgen.pipeline.grid.outcome import result, rows, spent
    from dpgen.pipeline.grid.sheets import result_sheets
    from dpgen.pipeline.grid.writing import to_json, write

    results = [result(cell) for cell in cells]
    found, total = rows(results), spent(results)
    sheets = result_sheets(grid, found)
    write(folder, grid, found, sheets, total)
    notes = [
        f"{data}: {runs} releases together cost epsilon {epsilon:.4g} at delta {delta:.3g} (basic composition)."
        for data, (runs, epsilon, delta) in total.items()
    ]
    notes += ["Scores read private data: they are not part of any release.", f"tables: {folder}"]
    output.result(to_json(grid, found, total), sheets_table(sheets), *notes)
    if any(row.failures for row in found):
        raise typer.Exit(1)
