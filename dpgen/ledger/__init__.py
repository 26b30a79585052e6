"""What was spent, durably: the ledger of one run, and the data owner's ledger across runs.

Both are append-only JSON lines. Each line carries the SHA-256 of the line before it, so an altered, removed or swapped
line is found. Rolling back a whole file cannot be found from the file alone: the threat model says so.
"""

from dpgen.ledger.account import Total
from dpgen.ledger.history import Header, LedgerHistory, read_ledger
from dpgen.ledger.lines import ledger_lines
from dpgen.ledger.owner import OwnerLedger
from dpgen.ledger.run import Ledger

__all__ = ["Header", "Ledger", "LedgerHistory", "OwnerLedger", "Total", "ledger_lines", "read_ledger"]
