"""Numbers that others published, and which of them were obtained under a guarantee that does not hold."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """One published accuracy in [0, 1]. `invalid` says why its guarantee does not hold; empty where none is known."""

    accuracy: float
    invalid: str


def published(data: str, method: str, epsilon: float) -> Published | None:
    """The number for a data set, a method (both by the names of presets) and an epsilon; None where there is none."""
    table = _table()
    found = table["accuracy"].get(method, {}).get(data)
    if found is None or epsilon not in table["epsilons"]:
        return None
    return Published(found[table["epsilons"].index(epsilon)] / 100, table["invalid"].get(method, ""))


def source() -> str:
    """Where the numbers were read."""
    return str(_table()["source"])


def caveats() -> tuple[str, ...]:
    """What holds for all of them."""
    return tuple(_table()["caveats"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / "published.toml").read_text(encoding="utf-8"))
