"""How commands fail: the exit code says which kind, and the text of an unforeseen error is withheld."""

from __future__ import annotations

import os
import signal

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.cli.failures import Interrupted, exit_code, interruptible, message
from dpgen.errors import BudgetExceeded, CalibrationError, ConfigError, DataError, InvalidValue

OVER = BudgetExceeded(label="x", requested=2.0, spent=0.0, budget=Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError(""), 2),
        (InvalidValue(""), 2),
        (OVER, 3),
        (CalibrationError(""), 3),
        (DataError(""), 1),
        (RuntimeError(""), 1),
        (Interrupted(signal.SIGINT), 130),
        (Interrupted(signal.SIGTERM), 143),
    ],
)
def test_exit_codes(error: BaseException, code: int):
    assert exit_code(error) == code


def test_an_unforeseen_error_says_where_but_not_what():
    try:
        int("private-pixel-17")
    except ValueError as error:
        said = message(error)
    assert "private-pixel-17" not in said
    assert "test_cli_failures.py" in said
    assert "--debug" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_advice(number: signal.Signals):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, interruptible():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert "--resume" in message(caught.value)
