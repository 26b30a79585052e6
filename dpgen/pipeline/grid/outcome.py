"""What came of a grid: one row for each combination of points, over its seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from dpgen.errors import StorageError
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.grid.cells import Cell
from dpgen.pipeline.grid.layout import SEED
from dpgen.pipeline.grid.notes import Note
from dpgen.pipeline.grid.published import Published, published
from dpgen.record import RunRecord
from dpgen.storage import parse_json, read


@dataclass(frozen=True, slots=True)
class Result:
    """One cell as it is now. `state`: done, failed, begun (at work, or stopped), or waiting."""

    cell: Cell
    state: str
    note: Note
    scores: Mapping[str, float]
    record: RunRecord | None


@dataclass(frozen=True, slots=True)
class Value:
    """Mean and sample standard deviation over the seeds that are done; no deviation of a single one."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `epsilon` and `delta` as proved, the largest over the seeds; None where none is done."""

    block: int
    coordinates: Mapping[str, str]
    seeds: int
    done: int
    scores: Mapping[str, Value]
    noise_multiplier: float | None
    """Of the last charge that has one, but for a noisy validation: that of the private training."""
    epsilon: float | None
    delta: float | None
    seconds: float | None
    """Mean over the cells that are done."""
    published: Published | None
    failures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON data."""
        return asdict(self)


def result(cell: Cell) -> Result:
    """What is on the disk of a cell. Raises: `StorageError` for a damaged record, note or file of scores."""
    folder = RunFolder(cell.config.run.folder)
    note = Note.of(folder.root.parent)
    if folder.finished:
        return Result(cell, "done", note, _scores(folder), RunRecord.read(folder.release))
    state = "failed" if note.error else "begun" if folder.begun or note.attempts else "waiting"
    return Result(cell, state, note, {}, None)


def rows(results: Iterable[Result]) -> tuple[Row, ...]:
    """The rows, in the order of their first cells."""
    grouped: dict[object, list[Result]] = {}
    for one in results:
        grouped.setdefault(one.cell.row, []).append(one)
    return tuple(_row(group) for group in grouped.values())


def spent(results: Iterable[Result]) -> dict[str, tuple[int, float, float]]:
    """For each private data set: how many releases were made of it, and their epsilon and delta added up.

    Basic composition: it holds for any choice of runs. A run that is in several blocks counts once.
    """
    runs = {one.cell.name: one for one in results if one.record is not None}
    total: dict[str, tuple[int, float, float]] = {}
    for one in runs.values():
        assert one.record is not None
        count, epsilon, delta = total.get(one.cell.data, (0, 0.0, 0.0))
        held = one.record.guarantee
        total[one.cell.data] = count + 1, epsilon + held.epsilon_upper, delta + held.delta
    return total


def _row(group: Sequence[Result]) -> Row:
    first, done = group[0].cell, [one for one in group if one.record is not None]
    records = [one.record for one in done if one.record is not None]
    names = {name: None for one in done for name in one.scores}
    return Row(
        block=first.block,
        coordinates={axis: label for axis, label in first.coordinates.items() if axis != SEED},
        seeds=len(group),
        done=len(done),
        scores={name: _value([one.scores[name] for one in done if name in one.scores]) for name in names},
        noise_multiplier=_noise(records[0]) if records else None,
        epsilon=max((record.guarantee.epsilon_upper for record in records), default=None),
        delta=max((record.guarantee.delta for record in records), default=None),
        seconds=fmean(one.note.seconds for one in done) if done else None,
        published=published(first.data, first.method, first.config.privacy.epsilon),
        failures=tuple(f"{one.cell.name}: {one.note.error}" for one in group if one.state == "failed"),
    )


def _value(values: Sequence[float]) -> Value:
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < len(values) or not finite:
        return Value(math.nan, None, len(values))
    return Value(fmean(finite), stdev(finite) if len(finite) > 1 else None, len(finite))


def _noise(record: RunRecord) -> float | None:
    from dpgen.accountants.pricing import noise_multiplier

    found = [noise_multiplier(charge.event) for charge in record.charges if charge.label != "validation"]
    return next((value for value in reversed(found) if value is not None), None)


def _scores(folder: RunFolder) -> dict[str, float]:
    if not folder.scores.exists():
        return {}
    try:
        return {str(one["name"]): float(one["value"]) for one in parse_json(read(folder.scores))["scores"]}
    except (ValueError, TypeError, LookupError) as error:
        raise StorageError(
            f"expected scores in {folder.scores}; they cannot be read ({type(error).__name__}). "
            "Restore the file, or remove it for a row without scores."
        ) from None
