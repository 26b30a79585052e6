"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dpgen.pipeline import Prepared
    from dpgen.plugins.status import PluginStatus
    from dpgen.report import Finding
    from dpgen.verification import Verification


def plan_table(prepared: Prepared) -> RenderableType:
    """One line a charge: noise, its epsilon alone, the epsilon up to and with it, what leaving it out saves; events."""
    from dpgen.report import upper_bound

    table = _table("charge")
    for column in ("noise\nmultiplier", "epsilon\nalone", "cumulative\nepsilon", "marginal\nepsilon"):
        table.add_column(column, justify="right")
    for line in prepared.prices:
        noise = "" if line.noise_multiplier is None else f"{line.noise_multiplier:.4f}"
        prices = upper_bound(line.own_epsilon), upper_bound(line.cumulative_epsilon), f"{line.marginal_epsilon:.4g}"
        table.add_row(line.label, noise, *prices)
    events = Table.grid(padding=(0, 2))  # below: they are too long for a column
    for line in prepared.prices:
        events.add_row(Text(line.label, style="bold"), Text(str(line.event)))
    budget = prepared.budget
    summary = (
        f"budget epsilon={budget.epsilon:.4g} at delta={budget.delta:.3g}, {budget.relation}, "
        f"accountant {prepared.accountant.name}. No data was opened."
    )
    notes = list(prepared.plan.notes)
    if prepared.group is not None:
        size, (epsilon, delta) = prepared.task.info.max_images_per_person, prepared.group
        notes.append(f"for {size} images of one person: epsilon={upper_bound(epsilon)}, delta={upper_bound(delta)}")
    return Group(table, Text(), events, *(Text(f"- {note}") for note in notes), Text(summary))


def facts_table(facts: Mapping[str, object]) -> RenderableType:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path is never cut short
    for name, value in facts.items():
        table.add_row(Text(name.replace("_", " "), style="bold"), Text(_text(value)))
    return table


def plugins_table(statuses: Sequence[PluginStatus]) -> RenderableType:
    """Each plugin under a line of its own: what it brings, its hooks; what is broken is said in full below."""
    parts: list[RenderableType] = []
    for status in statuses:
        state = Text("ok", style="green") if status.ok else Text("broken", style="bold red")
        origin = status.distribution or status.source
        parts += [Text.assemble((status.name, "bold"), f" {status.version}  from {origin}  ", state), _brought(status)]
    return Group(*parts, *(Text(f"{status.name}: {status.state}") for status in statuses if not status.ok))


def _brought(status: PluginStatus) -> RenderableType:
    """The names of each kind that the plugin brings, and its hooks but for those that say no more than the names."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    others = [hook.removeprefix("dpgen_") for hook in status.hooks if not hook.startswith("dpgen_register_")]
    for kind, names in {**status.registered, "other hooks": others}.items():
        if names:
            lines.add_row(Text(kind.replace("_", " "), style="dim"), Text(", ".join(names)))
    return Padding(lines, (0, 0, 1, 2))


def verification_table(found: Verification) -> RenderableType:
    """One line a check; what is claimed, and of which record, below."""
    table = _table("check", "result", "why")
    for check in found.checks:
        table.add_row(check.name, "pass" if check.passed else "FAIL", Text(check.why))
    claimed = found.record.guarantee
    summary = (
        f"{found.record.name}: epsilon={claimed.epsilon_upper:.8g}, delta={claimed.delta:.6g}, {claimed.relation} "
        f"is {'borne out' if found.passed else 'NOT borne out'} by the record with SHA-256 {found.digest}"
    )
    return Group(table, Text(summary))


def finding_table(finding: Finding) -> RenderableType:
    """What a generator published, as a table under its title."""
    table = _table(*finding.columns)
    for row in finding.rows:
        table.add_row(*map(Text, row))
    table.title, table.title_justify = finding.title, "left"
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
