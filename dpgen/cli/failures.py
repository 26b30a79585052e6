"""How a command ends when it does not end well: one clean message, an exit code, never a traceback unasked."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from dpgen import errors
from dpgen.errors import (
    BudgetExceeded,
    CalibrationError,
    ConfigError,
    DpgenError,
    InvalidValue,
    ProcessLost,
    UnknownName,
)

USAGE, OVER_BUDGET, OTHER = 2, 3, 1
GIVE_WAY_SECONDS = 2.0


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM arrived. Not an `Exception`, so that no plugin swallows it."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Interrupted`, so that locks and terminals are given back on the way out."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal_number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(error: BaseException) -> int:
    """2 for a wrong setting, 3 for a budget that does not suffice, 128 + signal for an interrupt, else 1.

    A process that stops because another one did ends like that one.
    """
    if isinstance(error, Interrupted):
        return 128 + error.signal_number
    kind = getattr(errors, error.kind or "", type(error)) if isinstance(error, ProcessLost) else type(error)
    if issubclass(kind, (BudgetExceeded, CalibrationError)):
        return OVER_BUDGET
    return USAGE if issubclass(kind, (ConfigError, InvalidValue, UnknownName)) else OTHER


def show(error: BaseException) -> None:
    """Print the error on standard error: a panel on a terminal, plain text elsewhere.

    Of several processes that torchrun started the one that failed speaks, and the first one; the others only follow.
    """
    rank = os.environ.get("RANK", "0")
    if rank == "0" or not isinstance(error, (ProcessLost, Interrupted)):
        code = f" {error.code}" if isinstance(error, DpgenError) else ""
        _print(type(error).__name__ + code + ("" if rank == "0" else f" in process {rank}"), message(error))
    if isinstance(error, ProcessLost):
        time.sleep(GIVE_WAY_SECONDS)  # let the one that failed end first: torchrun then stops the others, as they are


def _print(title: str, text: str) -> None:
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Panel(escape(text), title=title, title_align="left", border_style="red"))
    else:
        print(f"{title}: {text}", file=sys.stderr)


def message(error: BaseException) -> str:
    """What to tell the user.

    The text of an unforeseen error is withheld: it may quote what it failed on, and that may be private.
    """
    if isinstance(error, DpgenError):
        return str(error)
    if isinstance(error, Interrupted):
        return f"{error}. What is finished is saved; go on with the same command and --resume."
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"an error that dpgen did not foresee, in {place.name} ({place.filename}:{place.lineno}). Its text is withheld "
        "because it may quote private values; `dpgen --debug ...` shows it."
    )
