"""What a generator published beside the usual files, read back as tables and pictures for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgen.record import NAME as RECORD

SAMPLES = "samples.png"
"""The sheet of samples in a release."""


@dataclass(frozen=True)
class Finding:
    """Something that a generator published: a table, a picture, or both."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    picture: bytes | None = None


def read_findings(release: Path) -> list[Finding]:
    """What the generator published beside the usual files: `NAME.json` facts and `NAME.png` pictures, by name.

    Facts are `{title: {row: item}}`, where an item is a value, a `{column: value}`, or a list of either.
    """
    files = [path for path in release.glob("*") if path.suffix in (".json", ".png")]
    names = sorted({path.stem for path in files if path.name not in (SAMPLES, RECORD)})
    return [_finding(release, name) for name in names]


def _finding(release: Path, name: str) -> Finding:
    facts, picture = release / f"{name}.json", release / f"{name}.png"
    data = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
    columns, rows = _table(data)
    return Finding(_words(name).capitalize(), columns, rows, picture.read_bytes() if picture.exists() else None)


def _table(data: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Columns and rows of published facts: one row for each item."""
    columns: dict[str, None] = {}  # an ordered set
    rows: list[dict[str, str]] = []
    for title, table in data.items():
        for row, items in (table if isinstance(table, Mapping) else {"": table}).items():
            for item in items if isinstance(items, list) else [items]:
                cells = item if isinstance(item, Mapping) else {"value": item}
                rows.append({_words(title): row} | {_words(key): _short(cell) for key, cell in cells.items()})
                columns |= dict.fromkeys(rows[-1])
    return tuple(columns), tuple(tuple(row.get(column, "") for column in columns) for row in rows)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_short, value))
    return str(value)
