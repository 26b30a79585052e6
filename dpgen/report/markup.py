"""Rows of plain text as a Markdown or a LaTeX table, with what they say escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Cells = Sequence[str]

_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
}
_MARKDOWN = str.maketrans({"|": r"\|", "\n": " ", "*": r"\*", "<": "&lt;"})


def markdown_table(head: Cells, rows: Sequence[Cells], notes: Mapping[str, str], *, first_number: int) -> str:
    """A pipe table, columns as wide as their widest cell; from column `first_number` on, cells are right-aligned
    where they are numbers. Notes, mark -> text, stand below.
    """
    lines = [tuple(map(markdown_text, row)) for row in (head, *rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(head))]
    numeric = _numeric(rows, len(head), first_number)

    def line(cells: Cells) -> str:
        shown = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return f"| {' | '.join(shown)} |"

    rule = (f"{'-' * (width - 1)}:" if right else "-" * width for width, right in zip(widths, numeric, strict=True))
    table = [line(lines[0]), f"| {' | '.join(rule)} |", *map(line, lines[1:])]
    below = [f"({mark}) {markdown_text(text)}" for mark, text in notes.items()]
    return "\n".join([*table, *([""] if below else []), *below])


def latex_table(head: Cells, rows: Sequence[Cells], notes: Mapping[str, str], *, first_number: int) -> str:
    """A `tabular` with the rules of the package booktabs; the notes, mark -> text, are lines below it."""
    numeric = _numeric(rows, len(head), first_number)
    columns = "".join("r" if right else "l" for right in numeric)
    body = [" & ".join(map(latex_text, row)) + r" \\" for row in rows]
    lines = [
        "% needs \\usepackage{booktabs}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(latex_text, head)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    below = [rf"\par ({latex_text(mark)}) {latex_text(text)}" for mark, text in notes.items()]
    return "\n".join([*lines, *below])


def markdown_text(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    return text.translate(_MARKDOWN)


def latex_text(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def _numeric(rows: Sequence[Cells], columns: int, first: int) -> list[bool]:
    """Which columns hold numbers alone: those are set flush right."""
    return [
        i >= first and any(row[i] for row in rows) and all(not row[i] or row[i][0].isdigit() for row in rows)
        for i in range(columns)
    ]
