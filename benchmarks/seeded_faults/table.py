"""The table of outcomes: as rows that later runs add to, as counts, and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.seeded_faults.fault import CORRECTNESS, Fault
from benchmarks.seeded_faults.trial import Outcome, is_quick

CAUGHT: Final = 0.95
CAUGHT_QUICKLY: Final = 0.80
"""The shares of the faults that the tests, and the tests that take under two minutes, must catch."""

BEGIN: Final = "<!-- seeded faults: begin -->"
END: Final = "<!-- seeded faults: end -->"

_NOT_CAUGHT: Final = ("crashed", "escaped")
_KINDS: Final = (("", "faults"), ("correctness_", "correctness"))

Row: TypeAlias = dict[str, Any]


def row(outcome: Outcome, *, tree: str, until: str) -> Row:
    """One line of the table: the fault, what caught it, in which tree, and how far was looked."""
    fault = outcome.fault
    return {
        "area": fault.area,
        "fault": fault.name,
        "patch": fault.patch,
        "benign": fault.benign,
        "stage": outcome.stage,
        "test": outcome.test,
        "kind": outcome.kind,
        "seconds": outcome.seconds,
        "tree": tree,
        "until": until,
    }


def read(path: Path | None) -> list[Row]:
    """The rows of earlier runs."""
    if path is None or not path.exists():
        return []
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"])


def write(path: Path | None, rows: Sequence[Row], faults: Sequence[Fault]) -> None:
    """The counts and the rows as JSON."""
    if path is not None:
        path.write_text(json.dumps(summary(rows, faults) | {"rows": list(rows)}, indent=1) + "\n", encoding="utf-8")


def merged(earlier: Iterable[Row], rows: Iterable[Row], faults: Sequence[Fault]) -> list[Row]:
    """`rows` over `earlier` ones, in the order of `faults`; what is no fault any more, or another one now, goes."""
    by_name = {line["fault"]: line for line in [*earlier, *rows]}
    found = ((fault, by_name.get(fault.name)) for fault in faults)
    return [line | {"area": fault.area} for fault, line in found if line and line.get("patch") == fault.patch]


def summary(rows: Sequence[Row], faults: Sequence[Fault]) -> dict[str, int]:
    """Counts over all `faults`, tried or not: those of privacy, those of correctness alone, and benign changes."""
    seeded = [fault for fault in faults if not fault.benign]
    stages = {line["fault"]: line["stage"] for line in rows}
    quick = {line["fault"] for line in rows if line["stage"] not in _NOT_CAUGHT and is_quick(line["test"])}
    privacy = [fault.name for fault in seeded if fault.area != CORRECTNESS]
    correctness = [fault.name for fault in seeded if fault.area == CORRECTNESS]
    benign = [fault.name for fault in faults if fault.benign]
    return {
        "faults": len(privacy),
        "caught": sum(stages.get(name, "escaped") not in _NOT_CAUGHT for name in privacy),
        "caught_in_two_minutes": sum(name in quick for name in privacy),
        "correctness": len(correctness),
        "correctness_caught": sum(stages.get(name, "escaped") not in _NOT_CAUGHT for name in correctness),
        "correctness_caught_in_two_minutes": sum(name in quick for name in correctness),
        "crashed": sum(stages.get(fault.name) == "crashed" for fault in seeded),
        "not_tried": sum(fault.name not in stages for fault in faults),
        "benign": len(benign),
        "benign_let_through": sum(stages.get(name) == "escaped" for name in benign),
    }


def met(total: dict[str, int]) -> bool:
    """Whether enough faults are caught, enough of them quickly, no benign change, and no fault merely crashes."""
    enough = all(total[f"{of}caught"] >= CAUGHT * total[name] for of, name in _KINDS)
    quickly = all(total[f"{of}caught_in_two_minutes"] >= CAUGHT_QUICKLY * total[name] for of, name in _KINDS)
    return enough and quickly and not total["crashed"] and total["benign_let_through"] == total["benign"]


def as_markdown(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    """The table by area, what escaped, and each fault with its test."""
    trees = sorted({line["tree"] for line in rows})
    parts = [_by_area(rows, faults), _not_caught(rows, faults), f"Trees tried: {', '.join(f'`{t}`' for t in trees)}.\n"]
    notes = [f"- `{fault.name}`: {fault.note}" for fault in faults if fault.note]
    each = ["## Each fault and the test that catches it\n", _each(rows), *notes]
    return "\n".join([*parts, *each]).rstrip("\n") + "\n"


def put_into(page: str, text: str) -> str:
    """`page` with `text` between its two marks. Raises: `ValueError` where they are not there."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page must have the lines {BEGIN} and {END}; found none. Put them where the table goes.")
    return f"{head}{begin}\n\n{text}\n{end}{tail}"


def _by_area(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    lines = ["| Area | Faults | Caught | By tests under two minutes |", "| --- | ---: | ---: | ---: |"]
    total = summary(rows, faults)
    for area in dict.fromkeys(fault.area for fault in faults if not fault.benign and fault.area != CORRECTNESS):
        lines.append(_shares(area, summary(rows, [fault for fault in faults if fault.area == area])))
    if total["faults"]:
        lines.append(_shares("**all of privacy**", total))
    if total["correctness"]:
        lines.append(_shares("correctness alone", total, of="correctness_", name="correctness"))
    tried = ", ".join(sorted({line["until"] for line in rows if line["benign"]})) or "none"
    benign = f"Benign changes: {total['benign']}, of which {total['benign_let_through']} fail no test (tried: {tried})."
    return "\n".join([*lines, "", benign, ""])


def _shares(area: str, total: dict[str, int], *, of: str = "", name: str = "faults") -> str:
    counts = (total[f"{of}{key}"] for key in ("caught", "caught_in_two_minutes"))
    return f"| {area} | {total[name]} | {' | '.join(f'{count} ({count / total[name]:.0%})' for count in counts)} |"


def _not_caught(rows: Sequence[Row], faults: Sequence[Fault]) -> str:
    by_name = {line["fault"]: line for line in rows}
    escaped, others = [], []
    for fault in faults:
        line = by_name.get(fault.name)
        if line is None:
            others.append(f"- `{fault.name}`: not tried yet as it is now.")
        elif line["stage"] == "crashed":
            others.append(f"- `{fault.name}`: only crashes ({line['kind']}); to be written anew.")
        elif line["stage"] == "escaped" and not fault.benign:
            escaped.append(f"- `{fault.name}` (tried: {line['until']}): {fault.escapes or 'not explained yet.'}")
    parts = ["\n".join(["Escaped:\n", *escaped, ""]) if escaped else "No fault that was tried escaped.\n"]
    return "\n".join([*parts, *(["Nothing known of:\n", *others, ""] if others else [])])


def _each(rows: Sequence[Row]) -> str:
    lines = ["| Area | Fault | Caught by | With | Under two minutes |", "| --- | --- | --- | --- | --- |"]
    for line in rows:
        test = (line["test"] or "").rpartition("/")[2].replace("|", "\\|")
        caught = f"`{test}`" if test else "none, as it should" if line["benign"] else "**nothing**"
        quickly = "yes" if is_quick(line["test"]) else "" if line["benign"] else "no"
        name, kind = line["fault"].replace("_", " "), line.get("kind") or ""
        lines.append(f"| {line['area']} | {name} | {caught} | {kind} | {quickly} |")
    return "\n".join(lines) + "\n"
