"""Tables over several runs: one row for what was made alike but for the seed, as LaTeX, Markdown or JSON.

A row says what a reviewer asks of a number: under which guarantee, proved by whom and how well, with which public data,
whether choosing the settings was paid for, over how many runs. `Row` is shared by `dpgen report` and `dpgen bench`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpgen.budget import VALIDATION, BoundKind
from dpgen.record import RunRecord
from dpgen.report.markup import latex_table, markdown_table
from dpgen.report.wording import number, upper_bound

ESTIMATE = "estimate"
"""Marks an epsilon that no proof stands behind."""

FORMS = ("markdown", "latex", "json")


@dataclass(frozen=True, slots=True)
class Summary:
    """A score over several runs; `deviation` (n - 1) is None for a single one."""

    mean: float
    deviation: float | None
    runs: int

    @staticmethod
    def of(values: Sequence[float]) -> Summary:
        """Mean and deviation of at least one value."""
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return Summary(statistics.mean(values), deviation, len(values))

    def __str__(self) -> str:
        return number(self.mean) if self.deviation is None else f"{number(self.mean)} ± {self.deviation:.2g}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    `kind` is what the proof of epsilon is worth; None for a number of which that is not known, as of a published one.
    `tuning` says what choosing the settings cost. `seconds` is the mean time of a run. `caveat` is what must be read
    with the line; a line with `valid` False was obtained under a guarantee that does not hold, and its caveat says why.
    """

    method: str
    data: str
    epsilon: float
    delta: float | None
    relation: str
    accountant: str
    kind: BoundKind | None
    public_data: str = "none"
    tuning: str = "not stated"
    runs: int = 1
    scores: Mapping[str, Summary] = field(default_factory=dict)
    seconds: float | None = None
    source: str = "measured"
    caveat: str = ""
    valid: bool = True

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON data; keys are the field names."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "scores"}
        scores = {
            name: {"mean": score.mean, "deviation": score.deviation, "runs": score.runs}
            for name, score in self.scores.items()
        }
        return plain | {"scores": scores}


@dataclass(frozen=True)
class Measured:
    """A finished run and what is known of it beyond its record: private scores by name, and its time."""

    record: RunRecord
    scores: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None


def rows_of(runs: Iterable[Measured]) -> tuple[Row, ...]:
    """One row for each group of runs that differ in nothing but name, seed and `[compute]`, in order of appearance."""
    groups: dict[str, list[Measured]] = {}
    for run in runs:
        groups.setdefault(_alike(run.record), []).append(run)
    return tuple(_row(group) for group in groups.values())


def rendered(rows: Sequence[Row], form: str, *, scores: Sequence[str] | None = None) -> str:
    """The table in one of `FORMS`, "json" a list of rows. `scores` names the columns wanted, default: all there are."""
    if form == "json":
        return json.dumps([row.to_json() for row in rows], indent=2, ensure_ascii=False)
    names = tuple(dict.fromkeys(name for row in rows for name in row.scores)) if scores is None else tuple(scores)
    head = ("method", "data", "ε", "δ", "relation", "accountant", "bound", *(name.replace("_", " ") for name in names))
    head += ("public data", "tuning", "runs", "time", "source")
    notes = _notes(rows)
    lines = [_cells(row, names, notes) for row in rows]
    text = {mark: note for note, mark in notes.items()}
    return (latex_table if form == "latex" else markdown_table)(head, lines, text, first_number=2)


def _alike(record: RunRecord) -> str:

    config = {table: dict(values) for table, values in record.config.items() if table != "compute"}
    for key in ("name", "seed"):
        config.get("run", {}).pop(key, None)
    guarantee = record.guarantee
    facts = [config, guarantee.delta, guarantee.accountant, guarantee.kind, record.generator, record.private]
    return json.dumps(facts, sort_keys=True)


def _row(group: Sequence[Measured]) -> Row:
    record, guarantee = group[0].record, group[0].record.guarantee
    names = dict.fromkeys(name for run in group for name in run.scores)
    times = [run.seconds for run in group if run.seconds is not None]
    return Row(
        method=record.generator,
        data=str(record.config["data"]["private"]),
        epsilon=max(run.record.guarantee.epsilon_upper for run in group),
        delta=guarantee.delta,
        relation=str(guarantee.relation),
        accountant=guarantee.accountant,
        kind=guarantee.kind,
        public_data=record.public_data or "none",
        tuning=tuning(record),
        runs=len(group),
        scores={name: Summary.of([run.scores[name] for run in group if name in run.scores]) for name in names},
        seconds=statistics.mean(times) if times else None,
        caveat="" if record.private else "not private: a test double drew the noise",
        valid=record.private,
    )


def tuning(record: RunRecord) -> str:
    """What choosing the settings cost, as the owner states it, and whether the classifier was chosen at a price."""
    stated = str(record.config.get("evaluation", {}).get("tuning", "not_stated")).replace("_", " ")
    validated = any(charge.label == VALIDATION for charge in record.charges)
    return f"{stated}; classifier by charged validation" if validated else stated


def _notes(rows: Sequence[Row]) -> dict[str, str]:
    """Caveat -> its mark, a, b, c, ... in order of appearance."""
    caveats = dict.fromkeys(row.caveat for row in rows if row.caveat)
    return {caveat: chr(ord("a") + i % 26) * (1 + i // 26) for i, caveat in enumerate(caveats)}


def _cells(row: Row, names: Sequence[str], notes: Mapping[str, str]) -> tuple[str, ...]:
    mark = f"({notes[row.caveat]})" if row.caveat else ""
    scores = (str(row.scores[name]) if name in row.scores else "" for name in names)
    return (
        " ".join(filter(None, (row.method, "" if row.valid else "INVALID", mark))),
        row.data,
        upper_bound(row.epsilon),
        "" if row.delta is None else upper_bound(row.delta),
        row.relation.replace("_", " "),
        row.accountant,
        _worth(row.kind),
        *scores,
        row.public_data,
        row.tuning,
        str(row.runs),
        "" if row.seconds is None else duration(row.seconds),
        row.source,
    )


def _worth(kind: BoundKind | None) -> str:
    return "not stated" if kind is None else ESTIMATE if kind == "approximation" else kind


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3.5 min, 2.1 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
