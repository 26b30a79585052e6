"""A record as a page for people: one self-contained HTML file, and the data card of a release.

Everything shown comes from the `RunRecord` and from released files. Only the internal copy is given scores.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import tomli_w

from dpgen.budget import NeighboringRelation
from dpgen.record import NAME as RECORD
from dpgen.record import RunRecord

SAMPLES = "samples.png"

_RELATIONS = {
    NeighboringRelation.ADD_OR_REMOVE_ONE: "adding or removing any one {unit}",
    NeighboringRelation.REPLACE_ONE: "replacing any one {unit} by another",
}


@dataclass(frozen=True)
class Finding:
    """Something that a generator published: a table, a picture, or both."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    picture: bytes | None = None


def html(record: RunRecord, release: Path, *, internal: bool = False, scores: Mapping[str, Any] | None = None) -> str:
    """The report on the files in `release`; the `internal` copy alone may show `scores` (`Scores.to_json`)."""
    assert internal or scores is None, "scores on private images never enter the released report"
    findings = [
        {"title": f.title, "columns": f.columns, "rows": f.rows, "picture": f.picture and _inline(f.picture)}
        for f in read_findings(release)
    ]
    return _render(
        "report.html.j2",
        record,
        samples=_inline((release / SAMPLES).read_bytes()),
        findings=findings,
        internal=internal,
        scores=[] if scores is None else scores["scores"],
        config=tomli_w.dumps(dict(record.config)),
    )


def card(record: RunRecord) -> str:
    """The data card (`README.md`) of a release: YAML front matter, then the guarantee in plain words."""
    return _render("card.md.j2", record)


def promise(record: RunRecord) -> str:
    """The guarantee as one sentence."""
    change = _RELATIONS[record.guarantee.relation].format(unit="image")
    return (
        f"Whatever anyone learns from this release, {change} of the private set would have changed its probability by "
        f"at most a factor e^ε, except for a failure probability δ. Proved by the {record.guarantee.accountant} "
        f"accountant ({record.guarantee.kind}), for the relation {record.guarantee.relation}."
    )


def upper_bound(value: float) -> str:
    """A bound in four significant digits, rounded up: what is shown still holds. 9.99997 is "10", 1.00001 "1.001"."""
    if not 0 < value < math.inf:
        return f"{value:g}"
    return f"{float(Context(prec=4, rounding=ROUND_CEILING).create_decimal(repr(value))):.4g}"


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


def _render(template: str, record: RunRecord, **values: Any) -> str:
    facts = {
        "record": record,
        "count": record.config["run"]["count"],
        "epsilon": upper_bound(record.guarantee.epsilon_upper),
        "delta": upper_bound(record.guarantee.delta),
        "promise": promise(record),
    }
    return _environment().get_template(template).render(facts | values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dpgen"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["upper_bound"] = upper_bound
    return environment


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_short, value))
    return str(value)
