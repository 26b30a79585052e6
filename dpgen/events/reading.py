"""Events out of plain JSON data."""

from __future__ import annotations

from collections.abc import Mapping

from dpgen.errors import InvalidValue
from dpgen.events.base import DpEvent, fields
from dpgen.events.noise import DiscreteGaussian, EpsilonDelta, Gaussian, Laplace
from dpgen.events.sampling import AggregatePosterior, OnShards, PoissonSampled, SampledWithoutReplacement
from dpgen.events.structure import Composed, NonPrivate, NoOp, SelfComposed, Unsupported

_TYPES: Mapping[str, type[DpEvent]] = {
    cls.__name__: cls
    for cls in (
        *(NoOp, NonPrivate, Unsupported),
        *(Gaussian, DiscreteGaussian, Laplace, EpsilonDelta),
        *(PoissonSampled, SampledWithoutReplacement, OnShards, AggregatePosterior),
        *(SelfComposed, Composed),
    )
}


def from_json(data: object) -> DpEvent:
    """See `DpEvent.from_json`."""
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str) or data["type"] not in _TYPES:
        found = data.get("type") if isinstance(data, Mapping) else type(data).__name__
        raise InvalidValue(f"an event needs a `type` among {', '.join(_TYPES)}; found {found!r}.")
    cls = _TYPES[data["type"]]
    names, found_names = {f.name for f in fields(cls)}, set(data) - {"type"}
    if names != found_names:
        raise InvalidValue(f"{cls.__name__} has the fields {sorted(names)}; found {sorted(found_names)}.")
    return cls(**{name: _field(name, data[name]) for name in names})


def _field(name: str, value: object) -> object:
    if name == "event":
        return from_json(value)
    if name == "events":
        if not isinstance(value, list):
            raise InvalidValue(f"`events` must be a list of events; found {type(value).__name__}.")
        return tuple(from_json(item) for item in value)
    if name == "description" and not isinstance(value, str):
        raise InvalidValue(f"`description` must be text; found {type(value).__name__}.")
    return value
