"""The generators as a table: what each charges, under which relations, how far it is assured, and its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.plugins.methods import MethodFacts


def methods_table(facts: Sequence[MethodFacts], levels: Mapping[str, str]) -> RenderableType:
    """One line a generator; the levels only where the kit was run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("method", "charges", "relations", "public set", *(("assurance",) if levels else ()), "reference")
    for column in columns:
        table.add_column(column, overflow="fold")
    for fact in facts:
        level = (levels.get(fact.name, ""),) if levels else ()
        relations = "\n".join(relation.replace("_", "-") for relation in fact.relations) or "none"
        public = "needed" if fact.needs_public else "optional or none"
        reference = fact.cites[0] if fact.cites else ""
        table.add_row(*map(Text, (fact.name, "\n".join(fact.charges), relations, public, *level, reference)))
    note = "" if levels else "`--check` runs the conformance kit and adds the level of assurance."
    return Group(table, Text(note))
