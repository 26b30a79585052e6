"""What every benchmark writes down: its goals and whether they were kept, the machine, JSON that any reader takes."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: `value` must be at least, or at most, `bound`."""

    name: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Kept? NaN keeps nothing."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        relation = ">=" if self.at_least else "<="
        return f"{'yes' if self.met else 'NO '}  {self.name}: {self.value:.4g} (goal {relation} {self.bound:g})"

    def to_json(self) -> dict[str, Any]:
        """The fields and `met`."""
        return asdict(self) | {"met": self.met}


def machine(libraries: Iterable[str]) -> dict[str, str]:
    """What the figures were taken on."""
    hardware = {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": str(os.cpu_count()),
    }
    return hardware | {library: _version(library) for library in libraries}


def as_json(record: dict[str, Any]) -> str:
    """The document, with null where there was no finite number: JSON has no NaN and no infinity."""
    return json.dumps(_plain(record), indent=1, allow_nan=False) + "\n"


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
