"""What an outsider holds: a record, and perhaps the files of the release that stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dpgen.errors import StorageError
from dpgen.record import NAME as RECORD
from dpgen.record import RunRecord
from dpgen.storage import digest, parse_json, read


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A record as it was read: `data` is its JSON as written, `files` those recorded files that stand beside it."""

    record: RunRecord
    data: Mapping[str, Any]
    digest: str
    files: Mapping[str, Path]


def gather(path: Path) -> Evidence:
    """Read the record of a run folder, of a release folder, or in a file. Raises: `StorageError`."""
    place = _located(path)
    content = read(place)
    try:
        data = parse_json(content)
    except ValueError as error:
        raise StorageError(
            f"expected a run record in {place}; found no JSON ({type(error).__name__}). Give the run.json of a release."
        ) from error
    record = RunRecord.from_json(data)
    # under another name the record was taken out of its release, and what stands beside it is something else
    files = _beside(place.parent, record) if place.name == RECORD else {}
    return Evidence(record=record, data=data, digest=digest(content), files=files)


def _located(path: Path) -> Path:
    if path.is_file():
        return path
    for place in (path / "release" / RECORD, path / RECORD):
        if place.is_file():
            return place
    raise StorageError(
        f"expected a finished run in {path}; found no {RECORD}. Give a run folder, its release folder, or a {RECORD}."
    )


def _beside(folder: Path, record: RunRecord) -> dict[str, Path]:
    """Recorded files that are in `folder` or below: a record from a stranger may name any path at all."""
    names = (PurePosixPath(name) for name in record.released)
    inside = (name for name in names if not name.is_absolute() and ".." not in name.parts)
    return {str(name): folder / name for name in inside if (folder / name).is_file()}
