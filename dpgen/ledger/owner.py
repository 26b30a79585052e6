"""The data owner's ledger: what all runs on one private data set may cost together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, final

from dpgen.budget import Budget, NeighboringRelation
from dpgen.errors import CapExceeded, InvalidValue, LedgerError, PrivacyError
from dpgen.ledger.chain import Chain, Entry, decode
from dpgen.storage import read

FORMAT = 1


class Total(NamedTuple):
    """What all runs cost together, rounded up."""

    epsilon: float
    delta: float


@final
class OwnerLedger:
    """One line per run, reserved in full before the run opens the data; caps on the total, if the owner set them.

    Runs add up by basic composition: epsilons add and deltas add, also for runs and budgets chosen after seeing the
    outputs of earlier ones. Source: Rogers, Roth, Ullman, Vadhan 2016, Privacy Odometers and Filters (the basic
    composition filter). Sums are exact, over the decimals that the file shows; only `total` is rounded, upwards.

    Any number of processes may reserve at the same time. Keep the file outside the folders of the runs.
    """

    def __init__(self, path: Path, *, wait: float = 60.0) -> None:
        """Use the ledger at `path`, which the first reservation creates; wait up to `wait` seconds for others."""
        self._path, self._wait = path, wait

    @classmethod
    def create(cls, path: Path, budget: Budget, *, wait: float = 60.0) -> OwnerLedger:
        """Create a ledger whose total must stay within `budget`; creating it again with the same caps is harmless.

        Raises: `LedgerError` when there is a ledger already, with other caps or none.
        """
        header = _header(budget.relation, budget)
        with Chain(path, wait=wait) as chain:
            if not chain.entries:
                chain.append(header)
            elif chain.entries[0] != header:
                raise LedgerError(
                    f"expected no ledger at {path}, or one with the same caps; found other caps or none. "
                    "Use it as it is, or choose another file for another data set."
                )
        return cls(path, wait=wait)

    def reserve(self, run_id: str, epsilon: float, delta: float, relation: NeighboringRelation) -> None:
        """Count a whole run as spent, durably. Call it before the run opens the data.

        The same run with the same numbers counts once, so a resumed run calls it again.

        Raises, and then nothing is reserved: `CapExceeded`; `PrivacyError` when the runs before were made for another
        relation (their guarantees do not add up); `LedgerError` when this run was reserved with other numbers, or the
        file is altered or stays in use; `InvalidValue`; `StorageError`.
        """
        run = _Run(run_id, Budget(epsilon, delta, relation))
        with Chain(self._path, wait=self._wait) as chain:
            if not chain.entries:
                chain.append(_header(relation, None))
            account = _Account.of(chain.entries, self._path)
            if account.requires_line_for(run):
                chain.append(run.to_json())

    def total(self) -> Total:
        """What all runs cost together; (0, 0) before the first. Raises: `LedgerError` when the file is altered."""
        if not self._path.exists():
            return Total(0.0, 0.0)
        content = read(self._path)
        # A line being written at this moment is no reservation yet: its run has not opened the data.
        entries, _ = decode(content[: content.rfind(b"\n") + 1], self._path)
        runs = _Account.of(entries, self._path).runs if entries else ()
        return _total(runs)


@dataclass(frozen=True, slots=True)
class _Run:
    """One reservation."""

    run_id: str
    budget: Budget

    def __post_init__(self) -> None:
        if not isinstance(self.run_id, str) or not self.run_id or not self.run_id.isprintable():
            raise InvalidValue(f"a run needs a printable name such as 'digits-1'; found {self.run_id!r}.")

    def to_json(self) -> Entry:
        return {"type": "run", "run": self.run_id, "epsilon": self.budget.epsilon, "delta": self.budget.delta}


@dataclass(frozen=True, slots=True)
class _Account:
    """What the file says: for which relation, up to which caps, and the runs so far."""

    relation: NeighboringRelation
    cap: Budget | None
    runs: tuple[_Run, ...]

    @staticmethod
    def of(entries: Sequence[Entry], path: Path) -> _Account:
        try:
            header, relation = entries[0], NeighboringRelation(entries[0]["relation"])
            caps = header["epsilon_cap"], header["delta_cap"]
            cap = None if caps == (None, None) else Budget(*caps, relation)
            runs = tuple(_Run(e["run"], Budget(e["epsilon"], e["delta"], relation)) for e in entries[1:])
            if header != _header(relation, cap) or [run.to_json() for run in runs] != list(entries[1:]):
                raise ValueError("a line of another kind")
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"expected {path} to hold a data owner's ledger of format {FORMAT}; found another kind of file. "
                "Give the path of a new file, or of a ledger that dpgen wrote."
            ) from error
        return _Account(relation, cap, runs)

    def requires_line_for(self, run: _Run) -> bool:
        """False when `run` is reserved already; raises when it must not be."""
        if run.budget.relation is not self.relation:
            raise PrivacyError(
                f"expected a run for the relation {self.relation}, like the runs before; found {run.budget.relation}. "
                "Guarantees for two relations do not add up: use one ledger for each."
            )
        for earlier in self.runs:
            if earlier.run_id == run.run_id:
                if earlier == run:
                    return False
                raise LedgerError(
                    f"expected run {run.run_id!r} to cost epsilon={earlier.budget.epsilon!r} and "
                    f"delta={earlier.budget.delta!r} as reserved; found epsilon={run.budget.epsilon!r} and "
                    f"delta={run.budget.delta!r}. Resume it with its own budget, or give the new run its own name."
                )
        after = (*self.runs, run)
        if self.cap is not None and not (
            _sum(r.budget.epsilon for r in after) <= _decimal(self.cap.epsilon)
            and _sum(r.budget.delta for r in after) <= _decimal(self.cap.delta)
        ):
            raise CapExceeded(run=run.run_id, requested=_total(after), spent=_total(self.runs), budget=self.cap)
        return True


def _header(relation: NeighboringRelation, cap: Budget | None) -> Entry:
    return {
        "type": "owner",
        "format": FORMAT,
        "relation": str(relation),
        "epsilon_cap": None if cap is None else cap.epsilon,
        "delta_cap": None if cap is None else cap.delta,
    }


def _decimal(value: float) -> Fraction:
    """The decimal number that the file shows: ten runs of 0.1 are 1, not a little more."""
    return Fraction(repr(float(value)))


def _sum(values: Iterable[float]) -> Fraction:
    return sum(map(_decimal, values), Fraction(0))


def _total(runs: Sequence[_Run]) -> Total:
    return Total(
        _rounded_up(_sum(run.budget.epsilon for run in runs)), _rounded_up(_sum(run.budget.delta for run in runs))
    )


def _rounded_up(exact: Fraction) -> float:
    """The smallest float whose decimal is not below `exact`."""
    nearest = float(exact)
    return nearest if _decimal(nearest) >= exact else math.nextafter(nearest, math.inf)
