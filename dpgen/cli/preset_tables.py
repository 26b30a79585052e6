"""Shipped configurations for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpgen.config.presets import ALIASES, SCALES


def presets_table(names: Sequence[str]) -> RenderableType:
    """One line a data set and method, with the scales that there are; short names below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("data set / method", *SCALES):
        table.add_column(column)
    cells: dict[str, set[str]] = {}
    for name in names:
        if name not in ALIASES:
            cell, _, scale = name.rpartition("/")
            cells.setdefault(cell, set()).add(scale)
    for cell, scales in cells.items():
        table.add_row(Text(cell), *(Text(scale if scale in scales else "-") for scale in SCALES))
    short = [f"{name} is short for {ALIASES[name]}" for name in names if name in ALIASES]
    hint = "A preset is spelt DATA/METHOD/SCALE, or DATA/METHOD/SCALE/EPSILON for another epsilon than 10."
    return Group(table, *map(Text, [*short, hint]))
