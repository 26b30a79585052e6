"""How much assurance a class has: unchecked, checked by this kit, or vetted by people as well."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from dpgen.testing.conformance.running import Finding, Outcome


class Level(StrEnum):
    """From the least assurance to the most.

    unchecked: nothing is known, or a check fails. checked: every check passes, none of them as an expected failure.
    vetted: checked, and a second person has read its proof note against this very source.
    """

    UNCHECKED = "unchecked"
    CHECKED = "checked"
    VETTED = "vetted"


@dataclass(frozen=True, slots=True)
class Review:
    """A finished review: the proof note that was read, and the SHA-256 of the module that it was read against."""

    note: str
    source: str


REVIEWED: Final[Mapping[str, Review]] = {}
"""The reviews on record, by `module.Class`: whoever has read a proof note against its source adds a line.

A changed module loses its review.
"""


def level_of(kind: type, findings: Iterable[Finding], *, reviews: Mapping[str, Review] = REVIEWED) -> Level:
    """The level that a class reaches with these findings."""
    found = tuple(findings)
    if not found or any(finding.outcome is not Outcome.PASSED for finding in found):
        return Level.UNCHECKED
    review = reviews.get(f"{kind.__module__}.{kind.__qualname__}")
    return Level.VETTED if review is not None and review.source == source_digest(kind) else Level.CHECKED


def source_digest(kind: type) -> str:
    """SHA-256 of the module file that defines `kind`."""
    return hashlib.sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()


def least(levels: Iterable[Level]) -> Level:
    """The lowest of the levels; unchecked where there is none."""
    order = list(Level)
    return min(levels, key=order.index, default=Level.UNCHECKED)
