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
        table = Table(box=None, pad_edge=False, header_style="bold", title=Text(sheet.title), title_justify="left")
        for column in sheet.columns:
            table.add_column(Text(column), overflow="fold")
        for line in sheet.lines:
            table.add_row(*map(Text, line))
        parts += [*([Text()] if parts else []), table, *map(Text, sheet.notes)]
    return Group(*parts)
