"""What the lines of a data owner's ledger add up to: exact sums, caps, and which runs are reserved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, final

from dpgen.budget import Budget, NeighboringRelation
from dpgen.errors import CapExceeded, InvalidValue, LedgerError, PrivacyError
from dpgen.ledger.chain import Entry

FORMAT = 1


class Total(NamedTuple):
    """What all runs cost together, rounded up."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class Reservation:
    """One run and its whole budget."""

    run_id: str
    budget: Budget

    def __post_init__(self) -> None:
        if not isinstance(self.run_id, str) or not self.run_id or not self.run_id.isprintable():
            raise InvalidValue(f"a run needs a printable name such as 'digits-1'; found {self.run_id!r}.")

    def to_json(self) -> Entry:
        """The line of the run."""
        return {"type": "run", "run": self.run_id, "epsilon": self.budget.epsilon, "delta": self.budget.delta}


def header_entry(relation: NeighboringRelation, cap: Budget | None) -> Entry:
    """The first line of the file."""
    return {
        "type": "owner",
        "format": FORMAT,
        "relation": str(relation),
        "epsilon_cap": None if cap is None else cap.epsilon,
        "delta_cap": None if cap is None else cap.delta,
    }


@final
class Account:
    """The lines of one file so far. It grows by `add`, line by line, so that nobody has to add up all runs again."""

    def __init__(self, path: Path) -> None:
        """An account without lines, of the file `path`, which messages name."""
        self._path = path
        self._header: tuple[NeighboringRelation, Budget | None] | None = None
        self._runs: dict[str, Reservation] = {}
        self._epsilon, self._delta = Fraction(0), Fraction(0)

    def add(self, entries: Iterable[Entry]) -> None:
        """Count lines that follow those before. Raises: `LedgerError` for lines that no owner's ledger has."""
        try:
            for entry in entries:
                if self._header is None:
                    self._header = _header_of(entry)
                else:
                    self._count(_reservation_of(entry, self._header[0]))
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"expected {self._path} to hold a data owner's ledger of format {FORMAT}; found another kind of file. "
                "Give the path of a new file, or of a ledger that dpgen wrote."
            ) from error

    def requires_line_for(self, run: Reservation) -> bool:
        """False when `run` is reserved already; raises what `OwnerLedger.reserve` raises when it must not be."""
        assert self._header is not None, "the header comes first"
        relation, cap = self._header
        if run.budget.relation is not relation:
            raise PrivacyError(
                f"expected a run for the relation {relation}, like the runs before; found {run.budget.relation}. "
                "Guarantees for two relations do not add up: use one ledger for each."
            )
        if (earlier := self._runs.get(run.run_id)) is not None:
            if earlier == run:
                return False
            raise LedgerError(
                f"expected run {run.run_id!r} to cost epsilon={earlier.budget.epsilon!r} and "
                f"delta={earlier.budget.delta!r} as reserved; found epsilon={run.budget.epsilon!r} and "
                f"delta={run.budget.delta!r}. Resume it with its own budget, or give the new run its own name."
            )
        epsilon, delta = self._epsilon + _decimal(run.budget.epsilon), self._delta + _decimal(run.budget.delta)
        if cap is not None and not (epsilon <= _decimal(cap.epsilon) and delta <= _decimal(cap.delta)):
            requested = Total(_rounded_up(epsilon), _rounded_up(delta))
            raise CapExceeded(run=run.run_id, requested=requested, spent=self.total, budget=cap)
        return True

    @property
    def total(self) -> Total:
        """What all runs cost together."""
        return Total(_rounded_up(self._epsilon), _rounded_up(self._delta))

    def _count(self, run: Reservation) -> None:
        if run.run_id in self._runs:
            raise ValueError("a run reserved twice")
        self._runs[run.run_id] = run
        self._epsilon += _decimal(run.budget.epsilon)
        self._delta += _decimal(run.budget.delta)


def _header_of(entry: Entry) -> tuple[NeighboringRelation, Budget | None]:
    relation, caps = NeighboringRelation(entry["relation"]), (entry["epsilon_cap"], entry["delta_cap"])
    cap = None if caps == (None, None) else Budget(*caps, relation)
    if entry != header_entry(relation, cap):
        raise ValueError("a line of another kind")
    return relation, cap


def _reservation_of(entry: Entry, relation: NeighboringRelation) -> Reservation:
    run = Reservation(entry["run"], Budget(entry["epsilon"], entry["delta"], relation))
    if entry != run.to_json():
        raise ValueError("a line of another kind")
    return run


def _decimal(value: float) -> Fraction:
    """The decimal number that the file shows: ten runs of 0.1 are 1, not a little more."""
    return Fraction(repr(float(value)))


def _rounded_up(exact: Fraction) -> float:
    """The smallest float whose decimal is not below `exact`."""
    nearest = float(exact)
    return nearest if _decimal(nearest) >= exact else math.nextafter(nearest, math.inf)
