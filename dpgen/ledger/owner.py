"""The data owner's ledger: what all runs on one private data set may cost together."""

from __future__ import annotations

from pathlib import Path
from typing import final

from dpgen.budget import Budget, NeighboringRelation
from dpgen.errors import LedgerError
from dpgen.ledger.account import Account, Reservation, Total, header_entry
from dpgen.ledger.chain import Chain, Entry, Known, decode
from dpgen.storage import read


@final
class OwnerLedger:
    """One line per run, reserved in full before the run opens the data; caps on the total, if the owner set them.

    Runs add up by basic composition: epsilons add and deltas add, also for runs and budgets chosen after seeing the
    outputs of earlier ones. Source: Rogers, Roth, Ullman, Vadhan 2016, Privacy Odometers and Filters (the basic
    composition filter). Sums are exact, over the decimals that the file shows; only `total` is rounded, upwards.

    Any number of processes may reserve at the same time. Keep the file outside the folders of the runs. The lines that
    this object has seen are compared byte by byte each time, and only the new ones are decoded: an older or altered
    file is refused. To a new object an older file of whole lines looks sound: only a counter elsewhere could tell.
    """

    def __init__(self, path: Path, *, wait: float = 60.0) -> None:
        """Use the ledger at `path`, which the first reservation creates; wait up to `wait` seconds for others."""
        self._path, self._wait = path, wait
        self._known, self._account = Known(), Account(path)

    @classmethod
    def create(cls, path: Path, budget: Budget, *, wait: float = 60.0) -> OwnerLedger:
        """Create a ledger whose total must stay within `budget`; creating it again with the same caps is harmless.

        Raises: `LedgerError` when there is a ledger already, with other caps or none.
        """
        header = header_entry(budget.relation, budget)
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
        file is altered, older than this object has seen it, or stays in use; `InvalidValue`; `StorageError`.
        """
        run = Reservation(run_id, Budget(epsilon, delta, relation))
        with Chain(self._path, wait=self._wait, known=self._known) as chain:
            self._account.add(chain.entries)
            self._known = chain.known
            if not self._known.lines:
                self._append(chain, header_entry(relation, None))
            if self._account.requires_line_for(run):
                self._append(chain, run.to_json())

    def total(self) -> Total:
        """What all runs cost together; (0, 0) before the first. Raises: `LedgerError` when the file is altered."""
        if not self._path.exists() and not self._known.lines:
            return Total(0.0, 0.0)
        content = read(self._path)
        # A line being written at this moment is no reservation yet: its run has not opened the data.
        entries, _ = decode(content[: content.rfind(b"\n") + 1], self._path)
        account = Account(self._path)
        account.add(entries)
        return account.total

    def _append(self, chain: Chain, entry: Entry) -> None:
        """Write a line, then count it: when the disk fails, neither has happened."""
        chain.append(entry)
        self._account.add([entry])
        self._known = chain.known
