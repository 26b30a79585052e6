"""A grid as tables of text: what a terminal, Markdown and LaTeX all show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpgen.pipeline.grid.layout import SEED, Block, Grid
from dpgen.pipeline.grid.outcome import Row, Value
from dpgen.pipeline.grid.pricing import Priced
from dpgen.pipeline.grid.published import caveats, source

PERCENT = ("accuracy", "held_out_synthetic_accuracy")
NONE = "-"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table: `lines` of as many cells as there are `columns`, then `notes`."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def result_sheets(grid: Grid, rows: Sequence[Row]) -> tuple[Sheet, ...]:
    """One sheet a block, with what is done by now."""
    return tuple(
        _results(grid, block, [row for row in rows if row.block == number]) for number, block in enumerate(grid.block)
    )


def price_sheets(grid: Grid, rows: Sequence[Priced]) -> tuple[Sheet, ...]:
    """One sheet a block, with what each row would cost."""
    return tuple(
        _prices(block, [row for row in rows if row.cell.block == number]) for number, block in enumerate(grid.block)
    )


def _results(grid: Grid, block: Block, rows: Sequence[Row]) -> Sheet:
    axes, compared = _varied(block), grid.metrics[0] == "accuracy" and any(row.published for row in rows)
    marks = _marks(rows) if compared else {}
    columns = (*axes, *grid.metrics, *(("published",) if compared else ()), "noise", "proved epsilon", "time", "seeds")
    lines = []
    for row in rows:
        shown = [row.coordinates[axis] for axis in axes]
        shown += [_value(row.scores.get(metric), percent=metric in PERCENT) for metric in grid.metrics]
        if compared:
            mark = marks.get(row.published.invalid, "") if row.published else ""
            shown.append(f"{100 * row.published.accuracy:.1f}{mark}" if row.published else NONE)
        shown += [_number(row.noise_multiplier), _upper(row.epsilon), duration(row.seconds)]
        lines.append((*shown, f"{row.done}/{row.seeds}" if row.done < row.seeds else str(row.seeds)))
    notes = [f"{mark.strip()} invalid guarantee: {why}" for why, mark in marks.items() if why]
    if compared:
        notes += [f"published: {source()}", *(f"published: {caveat}" for caveat in caveats())]
    failures = tuple(f"failed: {text}" for row in rows for text in row.failures)
    return Sheet(_title(block), columns, tuple(lines), (*notes, *failures))


def _prices(block: Block, rows: Sequence[Priced]) -> Sheet:
    axes, lines, notes = _varied(block), [], []
    for row in rows:
        charges = ", ".join(f"{line.label} {_number(line.noise_multiplier)}" for line in row.prices)
        total = _upper(row.prices[-1].cumulative_epsilon) if row.prices else NONE
        lines.append((*(row.cell.coordinates[axis] for axis in axes), charges or NONE, total, str(row.seeds)))
        if row.error:
            notes.append(f"cannot be run: {row.cell.name}: {row.error}")
    columns = (*axes, "noise multipliers", "proved epsilon", "seeds")
    return Sheet(_title(block), columns, tuple(lines), tuple(notes))


def _varied(block: Block) -> tuple[str, ...]:
    """The axes worth a column: those with several points, or all where there is none."""
    axes = [axis for axis in block.axes if axis != SEED]
    return tuple(axis for axis in axes if len(block.axes[axis]) > 1) or tuple(axes)


def _title(block: Block) -> str:
    """The block's title and what all its cells share."""
    varied = _varied(block)
    shared = [f"{axis} {next(iter(block.points(axis)))}" for axis in block.axes if axis not in (*varied, SEED)]
    return ": ".join(text for text in (block.title, ", ".join(shared)) if text)


def _marks(rows: Sequence[Row]) -> Mapping[str, str]:
    """A mark for each reason why published numbers do not count."""
    reasons = dict.fromkeys(row.published.invalid for row in rows if row.published and row.published.invalid)
    return {why: f" [{number}]" for number, why in enumerate(reasons, start=1)}


def _value(value: Value | None, *, percent: bool) -> str:
    if value is None or not math.isfinite(value.mean):
        return NONE
    shown = f"{100 * value.mean:.1f}" if percent else f"{value.mean:.4g}"
    if value.deviation is None:
        return shown
    return f"{shown} ± {100 * value.deviation:.1f}" if percent else f"{shown} ± {value.deviation:.2g}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4g}"


def _upper(value: float | None) -> str:
    """Rounded up: what is shown is never less than what was proved."""
    return NONE if value is None else f"{math.ceil(value * 1e4 - 1e-9) / 1e4:g}"


def duration(seconds: float | None) -> str:
    """Minutes and seconds, or hours and minutes with an h."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{minutes}:{rest:02d}"
