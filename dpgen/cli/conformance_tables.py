"""What the conformance kit found, as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.testing.conformance import PackageReport


def conformance_table(found: PackageReport) -> RenderableType:
    """One line a class; every failure in full below, and the level that the package reaches."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("class", "kind", "checks passed", "level", "seconds"):
        table.add_column(column, overflow="fold")
    for report in found.classes:
        passed = sum(finding.outcome == "passed" for finding in report.findings)
        counts = f"{passed} of {len(report.findings)}"
        table.add_row(*map(Text, (report.name, report.kind, counts, str(report.level), f"{report.seconds:.1f}")))
    failures = [
        Text(f"\n{report.name}: {finding.check}\n  {finding.message}")
        for report in found.classes
        for finding in report.failures
    ]
    return Group(table, *failures, Text(f"\n{found.package}: {found.level}"))
