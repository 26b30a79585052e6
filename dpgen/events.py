"""What was done to the private records: a frozen tree that a second accountant could price from these docstrings alone.

Constitution: an event is never removed and never changes meaning; a new meaning is a new class; new fields only with
defaults. An event ships together with an accountant that prices it and a mechanism that causes it.

Convention: a *noise multiplier* is the standard deviation of the noise divided by the L2 norm that one record can
contribute (the add-or-remove-one sensitivity). Under replace-one an accountant therefore prices a Gaussian at twice
that distance, because one record can leave and another one join.

JSON: `{"type": "Gaussian", "noise_multiplier": 1.0}`; the other fields are those of the dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpgen import validate
from dpgen.errors import InvalidValue


class DpEvent:
    """Abstract base of all events."""

    __slots__ = ()

    def __str__(self) -> str:
        """Short notation for tables and messages, numbers to four digits; `repr` is exact."""
        arguments = (_short(getattr(self, f.name)) for f in _fields(type(self)))
        return f"{type(self).__name__}({', '.join(arguments)})"

    def to_json(self) -> dict[str, Any]:
        """The event as plain JSON data: `type` plus its fields, nested events included."""
        return {"type": type(self).__name__} | {f.name: _plain(getattr(self, f.name)) for f in _fields(type(self))}

    @staticmethod
    def from_json(data: object) -> DpEvent:
        """The event that `to_json` wrote.

        Raises: `InvalidValue` when the type is unknown, a field is missing, extra, or outside its range.
        """
        return _from_json(data)


@dataclass(frozen=True, slots=True)
class NoOp(DpEvent):
    """Nothing was learnt about any record. Costs 0."""


@dataclass(frozen=True, slots=True)
class NonPrivate(DpEvent):
    """Records were released without protection. Costs infinity."""


@dataclass(frozen=True, slots=True)
class Unsupported(DpEvent):
    """Something that no event describes; every accountant refuses it."""

    description: str


@dataclass(frozen=True, slots=True)
class Gaussian(DpEvent):
    """A vector in which one record contributes L2 norm at most 1, plus N(0, noise_multiplier^2 I). 0 means no noise."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        validate.not_negative(noise_multiplier=self.noise_multiplier)


@dataclass(frozen=True, slots=True)
class DiscreteGaussian(DpEvent):
    """Integer counts plus discrete Gaussian noise; neighbouring inputs differ by at most 1 in at most `touched` cells.

    Each cell gets noise of law P(x) proportional to exp(-x^2 / (2 scale^2)) on the integers. `touched` already counts
    the cells under the relation that the charge is made for: k votes touch k cells under add-or-remove-one and 2k
    under replace-one, so accountants never double it. Source: Canonne, Kamath, Steinke 2020 (arXiv 2004.00010).
    """

    scale: float
    touched: int

    def __post_init__(self) -> None:
        validate.positive(scale=self.scale)
        validate.count(0, touched=self.touched)


@dataclass(frozen=True, slots=True)
class PoissonSampled(DpEvent):
    """Each record joins independently with `probability`; `event` then runs on those that joined."""

    probability: float
    event: DpEvent

    def __post_init__(self) -> None:
        validate.probability(probability=self.probability)
        _require_event(self.event)


@dataclass(frozen=True, slots=True)
class SelfComposed(DpEvent):
    """`event` ran `count` times on the same records, each time with fresh randomness."""

    event: DpEvent
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.event}"

    def __post_init__(self) -> None:
        validate.count(0, count=self.count)
        _require_event(self.event)


@dataclass(frozen=True, slots=True)
class Composed(DpEvent):
    """All `events` ran on the same records, each with fresh randomness. The empty composition is a `NoOp`."""

    events: tuple[DpEvent, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        for event in self.events:
            _require_event(event)


_TYPES: Mapping[str, type[DpEvent]] = {
    cls.__name__: cls
    for cls in (NoOp, NonPrivate, Unsupported, Gaussian, DiscreteGaussian, PoissonSampled, SelfComposed, Composed)
}


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _require_event(event: object) -> None:
    if not isinstance(event, DpEvent):
        raise InvalidValue(f"event must be a DpEvent; found {type(event).__name__}. Build it from dpgen.events.")


def _plain(value: object) -> object:
    if isinstance(value, DpEvent):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _from_json(data: object) -> DpEvent:
    if not isinstance(data, Mapping) or data.get("type") not in _TYPES:
        found = data.get("type") if isinstance(data, Mapping) else type(data).__name__
        raise InvalidValue(f"an event needs a `type` among {', '.join(_TYPES)}; found {found!r}.")
    cls = _TYPES[data["type"]]
    names, found_names = {f.name for f in _fields(cls)}, set(data) - {"type"}
    if names != found_names:
        raise InvalidValue(f"{cls.__name__} has the fields {sorted(names)}; found {sorted(found_names)}.")
    return cls(**{name: _field_from_json(name, data[name]) for name in names})


def _field_from_json(name: str, value: object) -> object:
    if name == "event":
        return _from_json(value)
    if name == "events":
        if not isinstance(value, list):
            raise InvalidValue(f"`events` must be a list of events; found {type(value).__name__}.")
        return tuple(_from_json(item) for item in value)
    if name == "description" and not isinstance(value, str):
        raise InvalidValue(f"`description` must be text; found {type(value).__name__}.")
    return value
