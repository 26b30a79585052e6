"""A grid's tables as Markdown, LaTeX and JSON, written beside its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpgen.pipeline.grid.layout import Grid
from dpgen.pipeline.grid.outcome import Row
from dpgen.pipeline.grid.published import caveats, source
from dpgen.pipeline.grid.sheets import Sheet
from dpgen.report.markup import latex_text
from dpgen.storage import write_atomically

MARKDOWN, LATEX, JSON = "table.md", "table.tex", "results.json"


def write(output: Path, grid: Grid, rows: Sequence[Row], sheets: Sequence[Sheet], spent: Mapping[str, Any]) -> None:
    """Write all three. They hold scores on private data: they are not part of any release."""
    write_atomically(output / MARKDOWN, markdown(grid, sheets).encode())
    write_atomically(output / LATEX, latex(grid, sheets).encode())
    text = json.dumps(to_json(grid, rows, spent), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(output / JSON, text.encode() + b"\n")


def markdown(grid: Grid, sheets: Sequence[Sheet]) -> str:
    """Pipe tables under headings."""
    parts = [f"# {grid.title or grid.name}"]
    for sheet in sheets:
        if sheet.title:
            parts.append(f"## {sheet.title}")
        rule = "|".join(["---"] * len(sheet.columns))
        lines = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in (sheet.columns, *sheet.lines)]
        parts.append("\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])]))
        parts += ["\n".join(f"- {note}" for note in sheet.notes)] if sheet.notes else []
    return "\n\n".join(parts) + "\n"


def latex(grid: Grid, sheets: Sequence[Sheet]) -> str:
    """One `table` a block; needs the package booktabs."""
    return "\n".join(_latex_table(grid, sheet) for sheet in sheets)


def to_json(grid: Grid, rows: Sequence[Row], spent: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as plain data; what is not finite is null."""
    blocks = [
        {"title": block.title, "rows": [row.to_json() for row in rows if row.block == number]}
        for number, block in enumerate(grid.block)
    ]
    releases = {
        data: {"runs": runs, "epsilon": epsilon, "delta": delta} for data, (runs, epsilon, delta) in spent.items()
    }
    published = {"source": source(), "caveats": list(caveats())}
    plain = {"name": grid.name, "title": grid.title, "blocks": blocks, "releases": releases, "published": published}
    found = json.loads(json.dumps(plain), parse_constant=lambda _: None)
    assert isinstance(found, dict)
    return found


def _latex_table(grid: Grid, sheet: Sheet) -> str:
    def row(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    caption = ". ".join(text for text in (grid.title or grid.name, sheet.title) if text)
    notes = [rf"\par\footnotesize {latex_text(note)}" for note in sheet.notes]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\begin{{tabular}}{{{'l' * len(sheet.columns)}}}",
            *(r"\toprule", row(sheet.columns), r"\midrule", *map(row, sheet.lines), r"\bottomrule"),
            r"\end{tabular}",
            *notes,
            r"\end{table}",
            "",
        ]
    )
