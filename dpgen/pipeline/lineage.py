"""A public set that is itself a release: what it cost counts again, first, in the run that learns from it.

Post-processing of a release is free of further cost, not of the cost that it had: what a run makes of the release of an
earlier run on the same records and of those records themselves costs as much as both.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from dpgen.accountants.base import Accountant
from dpgen.accountants.pricing import total
from dpgen.budget import EARLIER_RELEASE, Budget, Charge, Plan
from dpgen.config import DataConfig
from dpgen.data.sources.limited import split_limit
from dpgen.errors import BudgetExceeded, ConfigError
from dpgen.pipeline.leading import Leading
from dpgen.record import NAME, RunRecord
from dpgen.storage import parse_json

_LEVELS = 2
"""The images of a release lie so many folders below its record: `synthetic/train.parquet`."""


def earlier_release(data: DataConfig, named: Collection[str], accountant: Accountant, budget: Budget) -> Leading | None:
    """What the run of the release that is `data.public` was planned to charge; None where it is no release of dpgen.

    A release is known by the `run.json` beside its images: of a copy without it nobody can tell.
    Raises: `ConfigError` for a release whose noise was no secret, or that was made for another relation;
    `BudgetExceeded` where it alone costs more than the budget; `StorageError` for a damaged record;
    `UnsupportedEvent`.
    """
    record = release_of(data, named)
    if record is None or data.public_release == "other_records":
        return None
    _require_usable(record, budget)
    charge = Charge(EARLIER_RELEASE, record.plan.event)
    epsilon = total(Plan((charge,)), accountant, budget).upper
    if not epsilon <= budget.epsilon:
        raise BudgetExceeded(label=EARLIER_RELEASE, requested=epsilon, spent=0.0, budget=budget)
    note = (
        f"the public set is the release of the run {record.name!r} ({record.generator}); its charges come first, since "
        "it may be made of the same records"
    )
    return Leading(charge, note)


def release_of(data: DataConfig, named: Collection[str]) -> RunRecord | None:
    """The record of the release that `data.public` is, or lies in; None where it is none.

    Raises: `StorageError` for a damaged record.
    """
    if data.public is None:
        return None
    spelling, _ = split_limit(data.public)
    if spelling in named:
        return None
    path = Path(spelling).expanduser().resolve()
    folders = (path, *path.parents[:_LEVELS])
    return next((RunRecord.read(folder) for folder in folders if _holds_record(folder)), None)


def _holds_record(folder: Path) -> bool:
    """Is there a `run.json` that may be dpgen's? One that cannot be read may be: reading it will say what is wrong."""
    try:
        return "guarantee" in parse_json((folder / NAME).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, TypeError):
        return True


def require_no_release(data: DataConfig, named: Collection[str]) -> None:
    """Refuse to learn from a release what a later run would take for free: only a run can count what it cost.

    Raises: `ConfigError`; `StorageError` for a damaged record.
    """
    record = release_of(data, named)
    if record is not None and data.public_release == "charged":
        raise ConfigError(
            f"data.public: expected images that owe nothing to private ones; found the release of the run "
            f"{record.name!r}. Pretrain within `dpgen run`, which counts what the release cost; or set "
            'data.public_release = "other_records" where none of its records is in the later run.'
        )


def _require_usable(record: RunRecord, budget: Budget) -> None:
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
