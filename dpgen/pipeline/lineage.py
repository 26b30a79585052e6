"""A public set that is itself a release: what it cost counts again, first, in the run that learns from it.

Post-processing of a release is free of further cost, not of the cost that it had: what a run makes of the release of an
earlier run on the same records and of those records themselves costs as much as both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dpgen.accountants.base import Accountant
from dpgen.accountants.pricing import total
from dpgen.budget import EARLIER_RELEASE, Budget, Charge, Plan
from dpgen.config import DataConfig
from dpgen.data.info import DatasetInfo, Unit
from dpgen.data.sources.limited import split_limit
from dpgen.data.sources.spelling import matching
from dpgen.errors import BudgetExceeded, ConfigError, StorageError
from dpgen.events import Composed, DpEvent
from dpgen.pipeline.folder import KEY
from dpgen.pipeline.leading import Leading
from dpgen.record import NAME, SOURCE, RunRecord
from dpgen.storage import digest, parse_json

_LEVELS: Final = 3
"""Images lie at most so many folders below a record that speaks for them: `release/synthetic/class/0001.png`."""


@dataclass(frozen=True, slots=True)
class _Release:
    record: RunRecord
    sha256: str
    """Of its `run.json`."""


def earlier_release(
    data: DataConfig, named: Collection[str], info: DatasetInfo, accountant: Accountant, budget: Budget
) -> Leading | None:
    """What the run of the release that is `data.public` was planned to charge; None where it is no release of dpgen.

    A release is known by the record in a folder above its images, as they are spelt or where links lead: of a copy
    without it nobody can tell. The record is taken at its word: `dpgen verify` checks one.
    Raises: `ConfigError` for a release whose noise was no secret, or whose guarantee does not add up with that of a
    run on the images of `info`; `BudgetExceeded` where it alone costs more than the budget; `StorageError` for a
    damaged record; `UnsupportedEvent`.
    """
    release = None if data.public_release == "other_records" else _release_of(data, named)
    if release is None:
        return None
    record = release.record
    _require_usable(record, info, budget)
    charge = Charge(EARLIER_RELEASE, Composed(tuple(_events(record.plan))))
    epsilon = total(Plan((charge,)), accountant, budget).upper
    if not epsilon <= budget.epsilon:
        raise BudgetExceeded(label=EARLIER_RELEASE, requested=epsilon, spent=0.0, budget=budget)
    note = (
        f"the public set is the release of the run {record.name!r} ({record.generator!r}, SHA-256 of its record "
        f"{release.sha256[:12]}); its charges come first, since it may be made of the same records"
    )
    return Leading(charge, note, record.guarantee.caveats)


def require_no_release(data: DataConfig, named: Collection[str]) -> None:
    """Refuse to learn from a release what a later run would take for free: only a run can count what it cost.

    Raises: `ConfigError`; `StorageError` for a damaged record.
    """
    release = _release_of(data, named)
    if release is not None:
        raise ConfigError(
            "data.public: expected images that owe nothing to private ones; found the release of the run "
            f"{release.record.name!r}, and weights alone would hide what it cost. Pretrain within `dpgen run`."
        )


def _release_of(data: DataConfig, named: Collection[str]) -> _Release | None:
    """The release that `data.public` is, or lies in, or was drawn from; None where it is none."""
    if data.public is None:
        return None
    spelling, _ = split_limit(data.public)
    if spelling in named:
        return None
    for folder in _folders_above(Path(spelling).expanduser()):
        if (folder / KEY).is_file():
            raise ConfigError(
                f"data.public: expected images that anyone may see; found those of an unfinished run in {folder}. "
                "Finish it with `dpgen run --resume`, and give its release."
            )
        for name in (NAME, SOURCE):
            release = _read(folder / name)
            if release is not None:
                return release
    return None


def _folders_above(path: Path) -> Iterator[Path]:
    """Where a record may lie: beside and above each file of the pattern, as it is spelt and where links lead."""
    places = [place for file in matching(path) for place in (file.absolute(), file.resolve())]
    yield from dict.fromkeys(folder for place in places for folder in (place, *place.parents[:_LEVELS]))


def _read(path: Path) -> _Release | None:
    """The record at `path`; None where there is none, or readable JSON that is no record."""
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_bytes())
        if not (isinstance(content, dict) and "guarantee" in content):
            return None
        return _Release(RunRecord.from_json(content), digest(path))
    except (OSError, ValueError, StorageError) as error:
        raise StorageError(
            f"data.public: expected no {path.name} near public images but the record of a release; {path} cannot be "
            f"read as one ({type(error).__name__}). Restore the release; or, where the images owe nothing to the "
            'private ones, set data.public_release = "other_records".'
        ) from error


def _events(plan: Plan) -> Iterator[DpEvent]:
    """Those of `plan`, and of the release that it began with side by side: a long line of releases nests no deeper."""
    for charge in plan.charges:
        if charge.label == EARLIER_RELEASE and isinstance(charge.event, Composed):
            yield from charge.event.events
        else:
            yield charge.event


def _require_usable(record: RunRecord, info: DatasetInfo, budget: Budget) -> None:
    if not record.private:
        raise ConfigError(
            f"data.public: expected images that anyone may see; found the release of {record.name!r}, whose noise was "
            "drawn by a test double, so nothing protects its records. Run it again without."
        )
    if record.budget.relation is not budget.relation:
        raise ConfigError(
            f"data.public: expected a release made for privacy.relation = {str(budget.relation)!r}; found "
            f"{str(record.budget.relation)!r} in {record.name!r}, and the two do not add up. Run both for one relation."
        )
    if info.unit is Unit.PERSON and not _images_of_a_person(record) <= info.max_images_per_person:
        raise ConfigError(
            f"data.public: expected a release made for persons of at most {info.max_images_per_person} images; found "
            f"other ones in {record.name!r}, so no guarantee for a person follows. Raise data.max_images_per_person to "
            "what both runs declare, or run the earlier one for persons too."
        )


def _images_of_a_person(record: RunRecord) -> float:
    """As declared; infinite where the unit was an image."""
    images = record.data.get("max_images_per_person")
    return images if record.data.get("unit") == Unit.PERSON and isinstance(images, int) else float("inf")
