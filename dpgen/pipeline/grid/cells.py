"""A grid as cells: each one configuration, in a folder named by what it is."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgen.config import Config, load, preset
from dpgen.config.presets import parsed
from dpgen.config.whole import inline
from dpgen.errors import ConfigError
from dpgen.pipeline.grid.layout import SEED, Block, Grid, Point, spelt

_LONGEST = 60
_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a grid. `coordinates` say where it stands: the name of its point on each axis."""

    block: int
    coordinates: Mapping[str, str]
    data: str
    """The data set by its preset, else by what the configuration reads."""
    method: str
    """The method by its preset, else the registered one."""
    name: str
    """Its folder among the cells. Equal configurations have one name, whatever block they stand in."""
    config: Config

    @property
    def row(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Equal for the repeats of one row: all but the seed."""
        return self.block, tuple(item for item in self.coordinates.items() if item[0] != SEED)


def cells(grid: Grid, *, base: Path, output: Path, overrides: Sequence[str] = ()) -> tuple[Cell, ...]:
    """Every cell of a grid, in the order of its blocks and axes, the last axis running fastest.

    Args: `base` the folder of the grid file; `output` that of the grid's results; `overrides` such as `run.count=10`.
    Raises: `ConfigError` that names the cell.
    """
    return tuple(
        _cell(number, block, chosen, base, output, overrides)
        for number, block in enumerate(grid.block)
        for chosen in _product(block)
    )


def _product(block: Block) -> Iterator[dict[str, tuple[str, Point]]]:
    """Every choice of one point an axis: its name and what it sets."""
    axes = {axis: block.points(axis).items() for axis in block.axes}
    for choice in itertools.product(*axes.values()):
        yield dict(zip(axes, choice, strict=True))


def _cell(
    number: int,
    block: Block,
    chosen: Mapping[str, tuple[str, Point]],
    base: Path,
    output: Path,
    overrides: Sequence[str],
) -> Cell:
    coordinates = {axis: label for axis, (label, _) in chosen.items()}
    keys: dict[str, Any] = dict(block.set)
    for _, point in chosen.values():
        keys |= point
    words = {word: spelt(keys.pop(word)) for word in block.words}
    settings = [*(f"{key}={inline(value)}" for key, value in keys.items()), *overrides]
    try:
        config, data, method = _configuration(block, words, settings, base)
    except ConfigError as error:
        where = ", ".join(f"{axis} {label}" for axis, label in coordinates.items())
        raise ConfigError(f"block {number + 1}, cell {where or 'without axes'}: {error}") from None
    name = _name(config, data, method)
    run = config.run.model_copy(update={"name": name, "output": str(output / "cells" / name / "run")})
    placed = config.model_copy(update={"run": run})
    return Cell(block=number, coordinates=coordinates, data=data, method=method, name=name, config=placed)


def _configuration(
    block: Block, words: Mapping[str, str], settings: Sequence[str], base: Path
) -> tuple[Config, str, str]:
    """The configuration of a cell, and what its data set and its method are called."""
    if block.preset is not None:
        name = block.preset.format_map(words)
        address = parsed(name)
        return preset(name, settings), address.data, address.method
    assert block.config is not None
    config = load(base / block.config, settings)
    return config, Path(config.data.private).name, config.method.name


def _name(config: Config, data: str, method: str) -> str:
    """Readable, and different for different configurations: what is fast or where it lies makes no difference.

    Nor do defaults: a setting that a later dpgen adds leaves the cells that are done where they are.
    """
    plain = config.model_dump(mode="json", exclude={"compute": True, "run": {"output", "name"}}, exclude_defaults=True)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    readable = f"{data}-{method}-eps{config.privacy.epsilon:g}-seed{config.run.seed}"
    return re.sub(r"[^A-Za-z0-9._-]+", "_", f"{readable[:_LONGEST]}-{digest}").lstrip("-._")
