"""Scores as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.evaluation.base import Score
    from dpgen.evaluation.scores import Scores
    from dpgen.report.scores import ScoreLine


def scores_table(found: Scores) -> RenderableType:
    """One line a score: its value, what measured it, the most private data that it read; classes and notes below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("score", "value", "measured by", "data read"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for score in found.scores:
        table.add_row(*map(Text, (score.name, _value(score), score.measured_by, str(score.touched))))
    parts: list[RenderableType] = [table]
    by_class = [score for score in found.scores if "per_class" in score.details]
    if by_class:
        parts += [Text(), _class_table(found, by_class)]
    parts += [Text(line) for line in _counts(found)]
    notes = sorted({score.note for score in found.scores if score.note})
    parts += [Text(f"Scores that read private data: {note}.", style="bold") for note in notes]
    return Group(*parts)


def run_scores_table(lines: Sequence[ScoreLine]) -> RenderableType:
    """The scores of a run: value, error bar, the most private data read; what must stay with the owner said below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("score", "value", "error bar", "data read"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, (line.name, line.value, line.spread and f"± {line.spread}", line.touched)))
    if not any(line.is_private for line in lines):
        return table
    return Group(table, Text("Scores that read private images are not part of the DP release.", style="bold"), Text())


def _value(score: Score) -> str:
    """The value, with the deviation over trainings or subsets where there is one."""
    deviation = score.details.get("deviation") or 0.0
    return f"{score.value:.4g}" + (f" ± {deviation:.2g}" if deviation else "")


def _class_table(found: Scores, scores: Sequence[Score]) -> RenderableType:
    """One line a class: its images and its value of each score that has one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    sets = [name for name, counts in found.images.items() if isinstance(counts, dict) and "by_class" in counts]
    table.add_column("class", overflow="fold")
    for column in (*(f"{name} images" for name in sets), *(score.name for score in scores)):
        table.add_column(column, justify="right", overflow="fold")
    for name in scores[0].details["per_class"]:
        values = [score.details["per_class"].get(name) for score in scores]
        counts = [str(found.images[place]["by_class"][name]) for place in sets]
        table.add_row(Text(name), *counts, *("-" if value is None else f"{value:.4g}" for value in values))
    return table


def _counts(found: Scores) -> list[str]:
    """How the classifier was chosen, and what uneven labels do to the scores."""
    chosen = found.selection
    lines = [f"Classifier: {chosen['classifier']}, chosen among {chosen['candidates']} on {chosen['chosen_on']}."]
    apart = found.images.get("label_distance", 0.0)
    if apart > 0.05:
        lines.append(
            f"The labels of the two sets are {apart:.2g} apart (total variation): read balanced_accuracy and "
            "frechet_by_class, which weigh all classes alike."
        )
    return lines
