"""Shipped configurations, DATA/METHOD/SCALE: laid together from one file per data set, one per method, and overlays.

`docs/reference/presets.md` says which file says what. Each is a partial configuration; a later one changes single keys
of an earlier one. No cell of the grid has a file of its own.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from dpgen.config.reading import overridden, validated
from dpgen.config.tables import Config
from dpgen.errors import ConfigError

SCALES: Final = ("demo", "cpu", "fast", "paper")
"""A minute on a core; up to an hour on two cores; minutes on one card; the settings of the benchmark's papers."""

ALIASES: Final = {"demo": "digits/privimage/demo"}
"""Short names of presets."""

DEFAULT_EPSILON, LOW_EPSILON = 10.0, 5.0
"""A preset is made for the former unless its name ends in another; up to the latter the tables `SCALE_low` count too.
The benchmark switches there between its files for epsilon 1 and 10."""

_FOLDER = resources.files("dpgen") / "presets"


@dataclass(frozen=True, slots=True)
class Address:
    """What the name of a preset says."""

    data: str
    method: str
    scale: str
    epsilon: float = DEFAULT_EPSILON

    def __str__(self) -> str:
        end = "" if self.epsilon == DEFAULT_EPSILON else f"/{self.epsilon:g}"
        return f"{self.data}/{self.method}/{self.scale}{end}"


def preset(name: str, overrides: Sequence[str] = ()) -> Config:
    """The shipped configuration DATA/METHOD/SCALE, or DATA/METHOD/SCALE/EPSILON, or `demo`, after `overrides`.

    Raises: `ConfigError` when there is none of this name, or an override does not fit.
    """
    merged = _merged(parsed(name))
    merged["run"] = merged.get("run", {}) | {"name": name.replace("/", "-")}
    return validated(Config, overridden(merged, overrides), name=f"preset {name}")


@cache
def presets() -> tuple[str, ...]:
    """The names of all presets at their default epsilon: the aliases, then every cell."""
    cells = (
        f"{data}/{method}/{scale}"
        for data in preset_data()
        for method in preset_methods()
        for scale in SCALES
        if scale in _scales_of(data, method)
    )
    return (*ALIASES, *cells)


def preset_data() -> tuple[str, ...]:
    """The data sets that presets are there for."""
    return _names("data")


def preset_methods() -> tuple[str, ...]:
    """The methods that presets are there for; two may be settings of one registered generator."""
    return _names("methods")


def parsed(name: str) -> Address:
    """The parts of a name. Raises: `ConfigError` with the nearest names."""
    whole = ALIASES.get(name, name)
    cell, _, end = whole.rpartition("/") if whole.count("/") == 3 else (whole, "", "")
    if cell not in presets() or cell in ALIASES:
        close = [f"'{one}'" for one in difflib.get_close_matches(cell, presets(), n=3, cutoff=0.5)]
        mend = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(
            f"unknown preset {name!r}; expected DATA/METHOD/SCALE, such as mnist/privimage/cpu, or demo. "
            f"`dpgen config presets` lists them.{mend}"
        )
    data, method, scale = cell.split("/")
    return Address(data, method, scale, _epsilon(end, name) if end else DEFAULT_EPSILON)


def laid_over(base: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `upper` in their place, table by table; an empty text takes a key away."""
    merged = dict(base)
    for key, value in upper.items():
        if isinstance(value, Mapping):
            below = merged.get(key)
            merged[key] = laid_over(below if isinstance(below, Mapping) else {}, value)
        elif value == "":
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged


def _merged(address: Address) -> dict[str, Any]:
    data: dict[str, Any] = {"privacy": {"epsilon": address.epsilon}}
    for layer in _layers(address):
        data = laid_over(data, layer)
    return data


def _layers(address: Address) -> Iterator[Mapping[str, Any]]:
    """From the general to the special: base, scale, data, the method's groups, the method."""
    yield _read("base.toml")
    yield _read(f"scales/{address.scale}.toml")
    yield from _tables(_read(f"data/{address.data}.toml"), address)
    data = (*_groups("data", address.data), address.data)
    for kind, names in ("groups", _groups("methods", address.method)), ("methods", (address.method,)):
        for name in names:
            yield from _tables(_read(f"{kind}/{name}.toml"), address)
            for place in data:
                yield from _tables(_read(f"overlays/{place}/{name}.toml"), address)


def _tables(file: Mapping[str, Any], address: Address) -> Iterator[Mapping[str, Any]]:
    """The tables of a file that count at an address."""
    names = ("all", address.scale, f"{address.scale}_low")
    for name in names if address.epsilon <= LOW_EPSILON else names[:2]:
        yield file.get(name, {})


def _scales_of(data: str, method: str) -> tuple[str, ...]:
    """The scales that a data set does not decline and that a method, or a group of it, has a table for."""
    files = (_read(f"methods/{method}.toml"), *(_read(f"groups/{name}.toml") for name in _groups("methods", method)))
    offered = _read(f"data/{data}.toml").get("scales", SCALES)
    return tuple(scale for scale in SCALES if scale in offered and any(scale in file for file in files))


def _groups(kind: str, name: str) -> tuple[str, ...]:
    return tuple(_read(f"{kind}/{name}.toml").get("groups", ()))


def _names(kind: str) -> tuple[str, ...]:
    files = (_FOLDER / kind).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


@cache
def _read(path: str) -> Mapping[str, Any]:
    """A file below `presets`; an overlay that is not there is empty."""
    file = _FOLDER.joinpath(*path.split("/"))
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _epsilon(text: str, name: str) -> float:
    try:
        epsilon = float(text)
    except ValueError:
        epsilon = 0.0
    if not 0 < epsilon < float("inf"):
        raise ConfigError(f"preset {name!r}: expected a positive epsilon behind the scale; found {text!r}.")
    return epsilon
