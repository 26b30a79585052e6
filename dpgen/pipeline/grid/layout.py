"""What a grid file says: a base configuration, settings for every cell, and the axes that cells differ along."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from dpgen.config import validated
from dpgen.config.tables import Table
from dpgen.errors import ConfigError

SEED: Final = "run.seed"
"""The axis whose points are repeats of one row."""

Scalar = bool | int | float | str
Point = Mapping[str, Any]


class Block(Table):
    """`[[block]]`: one table of cells, the product of its axes.

    An axis is a list of values for the key that names it: a key of a configuration (`privacy.epsilon`), or a word that
    `preset` has in braces. Or it is a table of named points, each with several keys of either kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str = ""
    """What the block shows."""
    preset: str | None = None
    """The base of each cell, such as "{data}/{method}/demo"; words in braces are axes."""
    config: str | None = None
    """Instead of `preset`: a configuration file, relative to the grid file."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of every cell, by key."""
    axes: dict[str, list[Scalar] | dict[str, dict[str, Any]]] = Field(default_factory=dict)
    """What cells differ in."""

    @field_validator("axes")
    @classmethod
    def _not_empty(cls, axes: dict[str, Any]) -> dict[str, Any]:
        if empty := [name for name, points in axes.items() if not points]:
            raise ValueError(f"each axis needs at least one point; {', '.join(empty)} has none")
        return axes

    @model_validator(mode="after")
    def _one_base(self) -> Self:
        if (self.preset is None) == (self.config is None):
            raise ValueError("a block needs `preset` or `config`, and not both")
        known = {key for axis, points in self.axes.items() for key in _keys(axis, points)}
        if lacking := self.words - known:
            raise ValueError(f"`preset` has {', '.join(sorted(lacking))} in braces; no axis gives it")
        if loose := {key for key in known | frozenset(self.set) if "." not in key} - self.words:
            raise ValueError(
                f"{', '.join(sorted(loose))}: neither a key such as privacy.epsilon nor in `preset`'s braces"
            )
        return self

    @property
    def words(self) -> frozenset[str]:
        """The words in braces of `preset`."""
        return frozenset(word for _, word, _, _ in string.Formatter().parse(self.preset or "") if word)

    def points(self, axis: str) -> dict[str, Point]:
        """The points of an axis, by what they are called: each the keys that it sets."""
        given = self.axes[axis]
        if isinstance(given, dict):
            return dict(given)
        return {spelt(value): {axis: value} for value in given}


class Grid(Table):
    """A whole grid file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Letters, digits, dots, hyphens and underscores; the default folder is runs/NAME."""
    title: str = ""
    """What the grid is about."""
    metrics: tuple[str, ...] = ("accuracy",)
    """The scores shown, by name; all are kept. The first stands beside the published numbers where it is accuracy."""
    block: tuple[Block, ...] = Field(min_length=1)
    """The tables, in order."""


def read_grid(path: Path) -> Grid:
    """The grid in a TOML file. Raises: `ConfigError` that lists every unknown key and wrong value."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise ConfigError(
            f"expected a TOML grid file; {path} cannot be read ({type(error).__name__}{reason}). "
            "docs/how-to/benchmark-grid.md shows one."
        ) from None
    return validated(Grid, data, name=str(path))


def spelt(value: Scalar) -> str:
    """A value as it is shown and as it stands in the name of a preset."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _keys(axis: str, points: list[Scalar] | dict[str, dict[str, Any]]) -> frozenset[str]:
    return frozenset((axis,) if isinstance(points, list) else (key for point in points.values() for key in point))
