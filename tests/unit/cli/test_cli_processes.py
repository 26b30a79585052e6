"""Of several processes one speaks: the one that failed, else the first."""

from __future__ import annotations

import signal

import pytest

from dpgen.cli import failures
from dpgen.cli.failures import Interrupted, exit_code, show
from dpgen.cli.output import Output
from dpgen.errors import ConfigError, ProcessLost

LOST = ProcessLost(rank=1, kind="DataError")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "GIVE_WAY_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("rank", "error", "said"),
    [
        ("0", LOST, "ProcessLost DPG801: expected all processes"),
        ("1", LOST, ""),
        ("1", Interrupted(signal.SIGTERM), ""),
        ("1", ConfigError("a wrong key"), "ConfigError DPG102 in process 1: a wrong key"),
        ("0", ConfigError("a wrong key"), "ConfigError DPG102: a wrong key"),
    ],
)
def test_who_speaks(rank: str, error: BaseException, said: str, monkeypatch, capsys):
    monkeypatch.setenv("RANK", rank)
    show(error)
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert bool(err) == bool(said)


@pytest.mark.parametrize(
    ("kind", "code"), [("CapExceeded", 3), ("CalibrationError", 3), ("ConfigError", 2), ("DataError", 1), (None, 1)]
)
def test_who_follows_ends_with_the_same_code(kind: str | None, code: int):
    assert exit_code(ProcessLost(rank=0, kind=kind)) == code


def test_a_silent_output_prints_nothing(capsys):
    output = Output(silent=True, json=True)
    output.result({"a": 1})
    output.note("text")
    assert capsys.readouterr() == ("", "")
