"""What `dpgen audit` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.testing.audit import Audit


def audit_table(found: Audit) -> RenderableType:
    """The bounds beside the claims, then one line a finding, then what was left out."""
    bounds = _table("charge", "attack", "lower bound", "claimed", "delta", "level")
    findings = _table("rung", "charge", "check", "result", "why")
    for finding in found.findings:
        outcome = finding.outcome.upper() if finding.outcome == "failed" else finding.outcome
        findings.add_row(*map(Text, (str(finding.rung), finding.subject, finding.check, outcome, finding.why)))
        bound = finding.bound
        if bound is not None:
            name = f"{finding.check} (must be caught)" if finding.control else finding.check
            ends = (f"{bound.lower:.4g}", f"{bound.claimed:.4g}", f"{bound.delta:.3g}", f"{bound.level:g}")
            bounds.add_row(*map(Text, (finding.subject, name, *ends)))
    summary = (
        "nothing was found against the claims; that is no proof, which is the accountant's"
        if found.passed
        else "the audit FAILED"
    )
    shown = [findings, Text(), bounds] if bounds.row_count else [findings]
    return Group(*shown, *(Text(f"- not audited: {line}") for line in found.not_audited), Text(summary))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
