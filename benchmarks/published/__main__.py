"""Published epsilon against epsilon spent: `python -m benchmarks.published [--json FILE] [--into PAGE]`.

Each claim is calibrated as the benchmark does and its events, as executed, are priced by `pld` (by `rdp` where `pld`
hands over) at the benchmark's own delta. The noise is taken to be secret; fault P7 says why it is not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.published.claims import Claim, claims
from benchmarks.published.protocol import PLD
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, NeighboringRelation
from dpgen.events import DpEvent

MARK = "<!-- table of python -m benchmarks.published -->"
END = "<!-- end of the table -->"


def spent(event: DpEvent | None, relation: NeighboringRelation, delta: float) -> float | None:
    """Upper end of epsilon; infinity where no finite one is proved; None where the relation was not examined."""
    if event is None:
        return None
    return PLD.epsilon(event, delta=delta, relation=relation).upper


def row(claim: Claim) -> dict[str, Any]:
    """One line of the table as plain JSON data."""
    unbounded = claim.add_or_remove is None and claim.replace is None
    return {
        "method": claim.method,
        "data": claim.data.name,
        "delta": claim.data.delta,
        "published": claim.target,
        "add_or_remove_one": spent(claim.add_or_remove, ADD_OR_REMOVE_ONE, claim.data.delta),
        "replace_one": spent(claim.replace, REPLACE_ONE, claim.data.delta),
        "no_bound_proved": unbounded,
        "faults": list(claim.faults),
        "reading": claim.reading,
    }


def rows() -> Iterator[dict[str, Any]]:
    """All lines, computed one at a time."""
    return map(row, claims())


def shown(value: float | None, unbounded: bool) -> str:
    """A number in three digits, or why there is none."""
    if value is None:
        return "none proved" if unbounded else "not examined"
    return "infinite" if math.isinf(value) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(found: list[dict[str, Any]]) -> str:
    """The lines as Markdown."""
    lines = [
        "| method | data | published | spent, add-or-remove-one | spent, replace-one | faults | read as |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in found:
        spent_one, spent_other = (
            shown(line[key], line["no_bound_proved"]) for key in ("add_or_remove_one", "replace_one")
        )
        exceeded = line["no_bound_proved"] or (line["add_or_remove_one"] or 0) > 1.02 * line["published"]
        lines.append(
            f"| {line['method']} | {line['data']} | {line['published']:g} | "
            f"{f'**{spent_one}**' if exceeded else spent_one} | {spent_other} | {', '.join(line['faults']) or '-'} | "
            f"{line['reading']} |"
        )
    return "\n".join(lines)


def put_into(page: Path, text: str) -> None:
    """Replace what stands between the two marks of `page`."""
    before, rest = page.read_text().split(MARK)
    page.write_text(before + MARK + "\n\n" + text + "\n\n" + END + rest.split(END)[1])


def main() -> None:
    """Price everything, print the table, and write the record and the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the record here")
    parser.add_argument("--into", type=Path, help="put the table between the marks of this page")
    arguments = parser.parse_args()
    found = list(rows())
    print(table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.into:
        put_into(arguments.into, table(found))


if __name__ == "__main__":
    main()
