"""What the doctor says of one thing: expected, found, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """`NOTE`: dpgen works, but slower or without an extra. `BROKEN`: something will fail; exit code 1."""

    OK = "ok"
    NOTE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `mend` says what to type or change; empty where nothing needs mending."""

    name: str
    state: State
    expected: str
    found: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """The finding as plain JSON data; keys are the field names."""
        return asdict(self) | {"state": str(self.state)}


def judged(name: str, *, good: bool, expected: str, found: str, mend: str, otherwise: State = State.BROKEN) -> Finding:
    """`ok` where it is `good`, else `otherwise` with the mend."""
    return Finding(name, State.OK, expected, found) if good else Finding(name, otherwise, expected, found, mend)
