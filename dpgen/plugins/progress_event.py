"""What a tracker is told of a run: where it is, and what it has spent by the plan. Nothing that was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from dpgen import validate
from dpgen.errors import InvalidValue

State = Literal["begun", "advanced", "ended"]

LONGEST_NAME = 80
"""Characters of the name of a run or of a phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent:
    """One step of a run that may be told to anyone.

    `run` and `phase` are names, fixed before data is opened; `done` of `total` steps of the phase are made, numbers of
    the settings. `epsilon` is what the plan has spent once this phase has begun (an upper bound at the run's delta), as
    if each charge counted in full from its beginning; 0 before the first. There is no other field, so neither a loss
    nor a score can pass, and no clock: how long work on private data took is not protected.

    Raises: `InvalidValue` for anything else: a float of steps, a name that is long or not printable.
    """

    run: str
    phase: str
    state: State
    done: int
    total: int
    epsilon: float

    def __post_init__(self) -> None:
        for name in (self.run, self.phase):
            if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
                raise InvalidValue("a name in a progress event must be printable and at most 80 characters long.")
        if self.state not in ("begun", "advanced", "ended"):
            raise InvalidValue('the state of a progress event is "begun", "advanced" or "ended"; found another.')
        validate.count(0, done=self.done, total=self.total)
        validate.not_negative(epsilon=self.epsilon)

    def to_json(self) -> dict[str, Any]:
        """The event as plain JSON data; keys are the field names."""
        return asdict(self)
