"""Finished runs as lines of a table: their records, and what only their owner has: private scores, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.rebuilding import read_scores
from dpgen.record import RunRecord
from dpgen.report.tables import Measured

_TIME = "%Y-%m-%d %H:%M:%S,%f"


def measured(run: Path) -> Measured:
    """The run in a run folder, or of a release alone, which has neither scores nor time.

    Raises: `StorageError` without a finished run, or for scores that cannot be read.
    """
    folder = RunFolder(run)
    record = RunRecord.read(folder.release if folder.finished else run)
    if not folder.finished:
        return Measured(record)
    found = read_scores(folder.scores)
    scores = {} if found is None else {score["name"]: float(score["value"]) for score in found["scores"]}
    return Measured(record, scores, _seconds(folder.log))


def has_private_scores(runs: Sequence[Measured]) -> bool:
    """Was anything in them measured on private images, as far as is known?"""
    return any(run.scores for run in runs)


def _seconds(log: Path) -> float | None:
    """From the beginning to the end of a run; None where it was stopped in between, or the log is not whole."""
    try:
        lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines() if " dpgen.pipeline " in line]
        moments = {line[-1]: datetime.strptime(" ".join(line[:2]), _TIME) for line in lines}
    except (OSError, ValueError):
        return None
    if "resumed" in moments or not {"begun", "finished"} <= set(moments):
        return None
    return (moments["finished"] - moments["begun"]).total_seconds()
