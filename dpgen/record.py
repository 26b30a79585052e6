"""What a run did, as one frozen value: written once as `run.json`, read by reports and by anyone who doubts it.

Everything in it may be public: no score on private data, no hash of private content, no time spent on private work.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from dpgen import validate
from dpgen.budget import EARLIER_RELEASE, Budget, Charge, Guarantee, NeighboringRelation, Plan
from dpgen.errors import StorageError
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DpEvent,
    Gaussian,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)
from dpgen.storage import parse_json, write_atomically

T = TypeVar("T")

FORMAT = 1
"""Version of the layout of `run.json`; fields are only ever added under the same number."""

NAME, LEDGER = "run.json", "ledger.jsonl"
"""Names in a release: the record, and the ledger of the run."""
SOURCE = "source-run.json"
"""Beside images that are drawn from a release later: a copy of its record."""

# Caveats are texts for people, yet a verifier asks for them word for word: add to them, never reword.
FLOATING_POINT = (
    "Gaussian noise is drawn in floating point; the proof assumes exact arithmetic and does not model the finite grid."
)
DECLARED_RECORDS = "The number of private records is the owner's declaration; it was not compared with the data."
LARGE_DELTA = "delta is above 1 / (declared records): the guarantee permits exposing single records outright."
LARGE_EPSILON = "epsilon is above 20: the guarantee is weak."
TUNED_ON_PRIVATE = (
    "Settings were chosen by looking at private data without a charge: the guarantee does not cover that choice."
)
EARLIER_RELEASE_SEEN = (
    "The price includes an earlier release that served as public set, as if this run's settings had been fixed before "
    "anybody saw it."
)
OTHER_RECORDS = "The public set owes nothing to the private records: that is the owner's declaration."
NOT_PRIVATE = "NOT PRIVATE: a test double drew the noise, and who knows its seed can take the noise away."


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The result of a run.

    `private` is False when a test double drew the noise: then nothing is protected. `group` is the guarantee for all
    images of one person, where the unit of privacy is a person. `released` maps each file to its SHA-256.
    `selection` says how the scored classifier was chosen, and which one it is; None for a run without scores.
    `chain` holds the SHA-256 of each line of `ledger.jsonl`, and `counted` the labels of the charges whose releases
    were made one by one; the first records have none of the three.
    """

    name: str
    private: bool
    guarantee: Guarantee
    group: Mapping[str, float] | None
    budget: Budget
    charges: tuple[Charge, ...]
    plan: Plan
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    public_data: str | None
    generator: str
    cites: tuple[str, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    released: Mapping[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    selection: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON data; keys are the field names, and `format`."""
        return {
            "format": FORMAT,
            "name": self.name,
            "private": self.private,
            "guarantee": self.guarantee.to_json(),
            "group": None if self.group is None else dict(self.group),
            "budget": {
                "epsilon": self.budget.epsilon,
                "delta": self.budget.delta,
                "relation": str(self.budget.relation),
            },
            "charges": [charge.to_json() for charge in self.charges],
            "plan": {"charges": [charge.to_json() for charge in self.plan.charges], "notes": list(self.plan.notes)},
            "config": dict(self.config),
            "data": dict(self.data),
            "public_data": self.public_data,
            "generator": self.generator,
            "cites": list(self.cites),
            "seeds": dict(self.seeds),
            "versions": dict(self.versions),
            "released": dict(self.released),
            "chain": list(self.chain),
            "counted": list(self.counted),
            "selection": None if self.selection is None else dict(self.selection),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> RunRecord:
        """The record that `to_json` wrote.

        Raises: `StorageError` when a field is missing or the layout is newer than this dpgen.
        """
        found = data.get("format") if isinstance(data, Mapping) else None
        if found != FORMAT:
            raise StorageError(
                f"expected a run record of format {FORMAT}; found {found!r}. Read it with the dpgen version that wrote "
                "it, or a newer one."
            )
        try:
            return _from_json(data)
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"expected all fields of a run record; found one missing or of another type ({error}). "
                "Restore run.json from the release."
            ) from error

    def write(self, folder: Path) -> None:
        """Write `run.json` into `folder`, atomically."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(folder / NAME, text.encode() + b"\n")

    @staticmethod
    def read(folder: Path) -> RunRecord:
        """The record in `folder`. Raises: `StorageError` when there is none or it is damaged."""
        try:
            return RunRecord.from_json(parse_json((folder / NAME).read_bytes()))
        except (OSError, ValueError) as error:
            raise StorageError(
                f"expected a run record {folder / NAME}; it cannot be read ({type(error).__name__}). "
                "Give the folder of a finished run."
            ) from error


def _from_json(data: Mapping[str, Any]) -> RunRecord:
    return RunRecord(
        name=_of(str, data["name"]),
        private=_of(bool, data["private"]),
        guarantee=_guarantee(_of(dict, data["guarantee"])),
        group=None if data["group"] is None else _of(dict, data["group"]),
        budget=Budget(**_of(dict, data["budget"])),
        charges=_charges(data["charges"]),
        plan=Plan(_charges(data["plan"]["charges"]), _texts(data["plan"]["notes"])),
        config=_of(dict, data["config"]),
        data=_of(dict, data["data"]),
        public_data=None if data["public_data"] is None else _of(str, data["public_data"]),
        generator=_of(str, data["generator"]),
        cites=_texts(data["cites"]),
        seeds=_of(dict, data["seeds"]),
        versions=_of(dict, data["versions"]),
        released=_of(dict, data["released"]),
        chain=_texts(data.get("chain", [])),
        counted=_texts(data.get("counted", [])),
        selection=None if data.get("selection") is None else _of(dict, data["selection"]),
    )


def _guarantee(data: dict[str, Any]) -> Guarantee:
    validate.not_negative(epsilon_upper=data["epsilon_upper"])
    validate.open_unit(delta=data["delta"])
    names = {name: _of(str, data[name]) for name in ("accountant", "kind")}
    known = {"relation": NeighboringRelation(data["relation"]), "caveats": _texts(data["caveats"])}
    return Guarantee(**data | names | known)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_of(str, item) for item in _of(list, value))


def _of(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _charges(data: object) -> tuple[Charge, ...]:
    return tuple(Charge(_of(str, item["label"]), DpEvent.from_json(item["event"])) for item in _of(list, data))


def caveats(
    plan: Plan,
    budget: Budget,
    *,
    records: int,
    private: bool,
    tuning: str = "not_stated",
    public_release: str = "charged",
) -> tuple[str, ...]:
    """What must be said beside the guarantee of `plan`, for `records` declared records.

    `private` is False when a test double drew the noise. `tuning` and `public_release` are the owner's statements,
    `evaluation.tuning` and `data.public_release`.
    """
    stated = {
        NOT_PRIVATE: not private,
        FLOATING_POINT: _draws_gaussian_noise(plan.event),
        DECLARED_RECORDS: True,
        LARGE_DELTA: budget.delta > 1 / records,
        LARGE_EPSILON: budget.epsilon > 20,
        TUNED_ON_PRIVATE: tuning == "uncharged",
        EARLIER_RELEASE_SEEN: EARLIER_RELEASE in plan,
        OTHER_RECORDS: public_release == "other_records",
    }
    return tuple(text for text, applies in stated.items() if applies)


def _draws_gaussian_noise(event: DpEvent) -> bool:
    match event:
        case Composed(events=events):
            return any(map(_draws_gaussian_noise, events))
        case SelfComposed(event=inner) | PoissonSampled(event=inner) | SampledWithoutReplacement(event=inner):
            return _draws_gaussian_noise(inner)
        case OnShards(event=inner):
            return _draws_gaussian_noise(inner)
        case _:
            return isinstance(event, Gaussian | AggregatePosterior)


def installed_versions(*distributions: str) -> dict[str, str]:
    """Versions of Python and of the named distributions; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for name in distributions:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
