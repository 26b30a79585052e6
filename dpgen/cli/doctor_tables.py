"""What `dpgen doctor` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.cli.doctor.finding import Finding

_STYLES = {"ok": "green", "note": "yellow", "broken": "bold red"}


def findings_table(found: Sequence[Finding]) -> RenderableType:
    """One line a finding; below, for each that needs something: expected, found, mend."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("looked at", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in found:
        short = finding.found if finding.state == "ok" else "see below" if len(finding.found) > 50 else finding.found
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), Text(finding.name), Text(short))
    return Group(table, *(_advice(finding) for finding in found if finding.mend), Text(), _summary(found))


def _advice(finding: Finding) -> RenderableType:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for name in ("expected", "found", "mend"):
        lines.add_row(Text(name, style="dim"), Text(str(getattr(finding, name))))
    title = Text.assemble("\n", (f"{finding.state}: {finding.name}", _STYLES[finding.state]))
    return Group(title, Padding(lines, (0, 0, 0, 2)))


def _summary(found: Sequence[Finding]) -> Text:
    broken = [finding.name for finding in found if finding.state == "broken"]
    if broken:
        return Text(f"Broken: {', '.join(broken)}.", style=_STYLES["broken"])
    notes = sum(finding.state == "note" for finding in found)
    return Text("Fit to run." + (f" {notes} note{'s' if notes > 1 else ''} above." if notes else ""))
