"""The table of outcomes: as rows that later runs add to, as counts, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.seeded_faults.fault import Fault
from benchmarks.seeded_faults.trial import Outcome, is_quick

CAUGHT: Final = 0.95
CAUGHT_QUICKLY: Final = 0.80
"""The shares of the faults that the tests, and the tests that take under two minutes, must catch."""

BEGIN: Final = "<!-- seeded faults: begin -->"
END: Final = "<!-- seeded faults: end -->"

Row: TypeAlias = dict[str, Any]


def row(outcome: Outcome, *, tree: str, until: str) -> Row:
    """One line of the table: the fault, what caught it, in which tree, and how far was looked."""
    fault = outcome.fault
    return {"area": fault.area, "fault": fault.name, "benign": fault.benign, "stage": outcome.stage,
            "test": outcome.test, "seconds": outcome.seconds, "tree": tree, "until": until}  # fmt: skip


def read(path: Path | None) -> list[Row]:
    """The rows of earlier runs."""
    if path is None or not path.exists():
        return []
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"])


def write(path: Path | None, rows: Sequence[Row]) -> None:
    """The counts and the rows as JSON."""
    if path is not None:
        path.write_text(json.dumps(summary(rows) | {"rows": list(rows)}, indent=1) + "\n", encoding="utf-8")


def merged(earlier: Iterable[Row], rows: Iterable[Row], faults: Sequence[Fault]) -> list[Row]:
    """`rows` over `earlier` ones, in the order of `faults`; what is no fault any more goes."""
    by_name = {line["fault"]: line for line in [*earlier, *rows]}
    return [by_name[fault.name] for fault in faults if fault.name in by_name]


def summary(rows: Sequence[Row]) -> dict[str, int]:
    """Counts of faults and benign changes."""
    faults = [line for line in rows if not line["benign"]]
    benign = [line for line in rows if line["benign"]]
    return {
        "faults": len(faults),
        "caught": sum(line["stage"] != "escaped" for line in faults),
        "caught_in_two_minutes": sum(is_quick(line["test"]) for line in faults),
        "benign": len(benign),
        "benign_let_through": sum(line["stage"] == "escaped" for line in benign),
    }


def met(total: dict[str, int]) -> bool:
    """Whether enough faults are caught, enough of them quickly, and no benign change."""
    enough = total["caught"] >= CAUGHT * total["faults"]
    quickly = total["caught_in_two_minutes"] >= CAUGHT_QUICKLY * total["faults"]
    return enough and quickly and total["benign_let_through"] == total["benign"]


def as_markdown(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    """The table by area, what escaped, and each fault with its test."""
    trees = sorted({line["tree"] for line in rows})
    parts = [_by_area(rows), _escaped(rows, faults), f"Trees tried: {', '.join(f'`{tree}`' for tree in trees)}.\n"]
    return "\n".join([*parts, "## Each fault and the test that catches it\n", _each(rows)])


def put_into(page: str, text: str) -> str:
    """`page` with `text` between its two marks. Raises: `ValueError` where they are not there."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must have the lines {BEGIN} and {END}; found none. Put them where the table goes.")
    return f"{head}{begin}\n\n{text}\n{end}{tail}"


def _by_area(rows: Sequence[Row]) -> str:
    lines = ["| Area | Faults | Caught | By tests under two minutes |", "| --- | ---: | ---: | ---: |"]
    areas = dict.fromkeys(line["area"] for line in rows if not line["benign"])
    for area in areas:
        lines.append(_shares(area, summary([line for line in rows if line["area"] == area])))
    total = summary(rows)
    lines.append(_shares("**all**", total))
    tried = ", ".join(sorted({line["until"] for line in rows if line["benign"]})) or "none"
    benign = f"Benign changes: {total['benign']}, of which {total['benign_let_through']} fail no test (tried: {tried})."
    return "\n".join([*lines, "", benign, ""])


def _shares(area: str, total: dict[str, int]) -> str:
    shares = (f"{total[key]} ({total[key] / total['faults']:.0%})" for key in ("caught", "caught_in_two_minutes"))
    return f"| {area} | {total['faults']} | {' | '.join(shares)} |"


def _escaped(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    why = {fault.name: fault.escapes for fault in faults}
    escaped = [line for line in rows if line["stage"] == "escaped" and not line["benign"]]
    if not escaped:
        return "No fault escaped.\n"
    lines = [
        f"- `{one['fault']}` (tried: {one['until']}): {why[one['fault']] or 'not explained yet.'}" for one in escaped
    ]
    return "\n".join(["Escaped:\n", *lines, ""])


def _each(rows: Sequence[Row]) -> str:
    lines = ["| Area | Fault | Caught by | Under two minutes |", "| --- | --- | --- | --- |"]
    for line in rows:
        test = (line["test"] or "").rpartition("/")[2].replace("|", "\\|")
        caught = f"`{test}`" if test else "none, as it should" if line["benign"] else "**nothing**"
        quickly = "yes" if is_quick(line["test"]) else "" if line["benign"] else "no"
        lines.append(f"| {line['area']} | {line['fault'].replace('_', ' ')} | {caught} | {quickly} |")
    return "\n".join(lines) + "\n"
