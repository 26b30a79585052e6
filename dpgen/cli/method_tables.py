"""The generators one by one: what each charges, under which relations, how far it is assured, and its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.plugins.methods import MethodFacts


def methods_table(facts: Sequence[MethodFacts], levels: Mapping[str, str]) -> RenderableType:
    """A block a generator, whole at 80 columns; the levels only where the kit was run."""
    parts: list[RenderableType] = []
    for fact in facts:
        parts += [Text(fact.name, style="bold"), Padding(_lines(fact, levels), (0, 0, 1, 2))]
    note = "" if levels else "`--check` runs the conformance kit and adds the level of assurance."
    return Group(*parts, Text(note))


def _lines(fact: MethodFacts, levels: Mapping[str, str]) -> Table:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    values = {
        "charges": "\n".join(fact.charges),
        "relations": ", ".join(relation.replace("_", "-") for relation in fact.relations) or "none",
        "public set": "needed" if fact.needs_public else "optional or none",
        "assurance": levels.get(fact.name, ""),
        "reference": fact.cites[0] if fact.cites else "",
    }
    for name, value in values.items():
        if value:
            lines.add_row(Text(name, style="dim"), Text(value))
    return lines
