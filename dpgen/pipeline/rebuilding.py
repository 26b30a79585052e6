"""The pages of a finished run, written again from its record and its files: after an update of dpgen, or a loss."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgen import report
from dpgen.accountants.base import Accountant
from dpgen.errors import PluginError, StorageError
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.release import CARD, REPORT
from dpgen.plugins.registry import Registry, default_registry
from dpgen.record import NAME as RECORD
from dpgen.record import RunRecord
from dpgen.storage import digest, parse_json, read, write_atomically


@dataclass(frozen=True, slots=True)
class Page:
    """A page and whether its bytes are other ones than before; an unchanged page is not written."""

    path: Path
    changed: bool


def rebuild_pages(run: Path, *, registry: Registry | None = None) -> tuple[Page, ...]:
    """Write the released report and data card of `run` again and, where its `internal/` is there, the internal report.

    Args: `run` a run folder, or a release folder. Where neither the files nor dpgen changed, neither do the pages.
    Privacy: reads the release, and scores only for the internal copy; opens no data.
    Raises: `StorageError` without a finished run, or where a file to be shown is not the one that was released.
    """
    folder = RunFolder(run)
    release = folder.release if folder.finished else run
    record = RunRecord.read(release)
    _require_released(record, release)
    kind = _accountant(record, registry or default_registry())
    pages = {release / REPORT: report.html(record, release, accountant=kind), release / CARD: report.card(record)}
    if release == folder.release and folder.internal.is_dir():
        pages[folder.report] = report.html(
            record, release, internal=True, scores=read_scores(folder.scores), accountant=kind
        )
    return tuple(_written(path, text.encode()) for path, text in pages.items())


def _accountant(record: RunRecord, registry: Registry) -> type[Accountant] | None:
    """Who priced the run; None where that plugin is not installed here."""
    try:
        return registry.accountant(record.guarantee.accountant)
    except PluginError:
        return None


def _require_released(record: RunRecord, release: Path) -> None:
    """The pictures and facts that a report shows must be those whose digests the record holds."""
    shown = [path for path in sorted(release.glob("*")) if path.suffix in (".json", ".png") and path.name != RECORD]
    altered = [path.name for path in shown if record.released.get(path.name) != digest(path)]
    if altered:
        raise StorageError(
            f"expected the files that were released in {release}; found {', '.join(altered)} added or altered. "
            "Restore them from a copy of the release, or move them away."
        )


def read_scores(path: Path) -> Mapping[str, Any] | None:
    """What `Scores.to_json` gave; None for a run without scores. Raises: `StorageError` for a damaged file."""
    if not path.exists():
        return None
    try:
        found = parse_json(read(path))
        return dict(found) if found["scores"] is not None else None
    except (ValueError, TypeError, LookupError, json.JSONDecodeError) as error:
        raise StorageError(
            f"expected scores in {path}; they cannot be read ({type(error).__name__}). "
            "Restore the file, or remove it for a report without scores."
        ) from error


def _written(path: Path, content: bytes) -> Page:
    changed = not path.exists() or read(path) != content
    if changed:
        write_atomically(path, content)
    return Page(path, changed)
