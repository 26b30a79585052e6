"""Where a run stands in its adopted plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import final

from dpgen.budget import Charge, Plan
from dpgen.errors import LedgerError, PlanMismatch
from dpgen.events import SelfComposed


@dataclass(frozen=True, slots=True)
class Step:
    """One allowed release: what must be asked for, the planned charge it is a part of, and how it moves the plan."""

    asked: Charge
    planned: Charge
    occurrence: int
    next_position: int
    next_occurrence: int


@final
class Schedule:
    """Counts a plan down. `step_for` only looks; `advance` moves on, once the charge is on the disk.

    `recorded` is how many of the charges an earlier process of the run has written down. Its finished releases are
    kept in checkpoints, so a resumed run need not ask for them again: recorded charges may be left out.
    `counted` are the labels whose releases that process made one by one. How many of them it kept is not known here,
    so the next one could repeat the noise of an earlier one on another question: they are never continued.
    """

    def __init__(self, plan: Plan, *, recorded: int = 0, counted: Collection[str] = ()) -> None:
        self._charges, self._recorded, self._counted = plan.charges, recorded, frozenset(counted)
        self._position, self._occurrence = 0, 0

    def step_for(self, asked: Charge) -> Step:
        """The step that `asked` takes: one more release of the charge under way, or the next charge.

        A charge under way may be left early: its rest is already priced, and releasing less costs no more.

        Raises: `PlanMismatch`; `LedgerError` for a counted charge that an earlier process has begun.
        """
        if asked.label in self._counted:
            raise LedgerError(
                f"expected the releases under {asked.label!r} to be made by one process; found some of them made "
                "before the run was stopped, and going on could use their noise again. Start a new run in another "
                "folder; what this one charged stays charged."
            )
        allowed = list(self._allowed())
        for step in allowed:
            if step.asked == asked:
                return step
        expected = " or ".join(_described(step.asked) for step in allowed) or "no further charge"
        raise PlanMismatch(expected=expected, got=_described(asked))

    def advance(self, step: Step) -> None:
        """Take a step that `step_for` returned."""
        self._position, self._occurrence = step.next_position, step.next_occurrence

    def _allowed(self) -> Iterator[Step]:
        position = self._position
        if self._occurrence:
            yield from self._single(position, self._occurrence)
            position += 1
        last = min(max(position, self._recorded), len(self._charges) - 1)
        for index in range(position, last + 1):
            planned = self._charges[index]
            yield Step(planned, planned, 0, index + 1, 0)
            if index >= self._recorded:  # what was charged whole before is asked for whole again, or not at all
                yield from self._single(index, 0)

    def _single(self, position: int, occurrence: int) -> Iterator[Step]:
        """One release of the inner event of a planned `SelfComposed`."""
        planned = self._charges[position]
        if isinstance(planned.event, SelfComposed) and occurrence < planned.event.count:
            asked = Charge(planned.label, planned.event.event)
            is_last = occurrence + 1 == planned.event.count
            yield Step(asked, planned, occurrence, position + is_last, 0 if is_last else occurrence + 1)


def _described(charge: Charge) -> str:
    return f"{charge.label!r}: {charge.event}"
