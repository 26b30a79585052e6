"""Grids for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpgen.pipeline.grid.sheets import Sheet


def sheets_table(sheets: Sequence[Sheet]) -> RenderableType:
    """One table a sheet, its notes below."""
    parts: list[RenderableType] = []
    for sheet in sheets:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.title, table.title_justify = Text(sheet.title), "left"
        for column in sheet.columns:
            table.add_column(Text(column.replace("_", "\n").replace(" ", "\n")), overflow="fold")
        for line in sheet.lines:
            table.add_row(*map(Text, line))
        parts += [*([Text()] if parts else []), table, *map(Text, sheet.notes)]
    return Group(*parts)
