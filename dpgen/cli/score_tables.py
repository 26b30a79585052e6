"""Scores for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.evaluation.scores import Scores


def scores_table(found: Scores) -> RenderableType:
    """One line a score: its value, what measured it, the most private data that it read; the note below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("score", "value", "measured by", "data read"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for score in found.scores:
        table.add_row(*map(Text, (score.name, f"{score.value:.4g}", score.measured_by, str(score.touched))))
    notes = sorted({score.note for score in found.scores if score.note})
    return Group(table, *(Text(f"Scores that read private data: {note}.", style="bold") for note in notes))
