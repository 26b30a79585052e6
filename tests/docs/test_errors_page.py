"""Each error has a code of its own and a line on the page; a code is never given to another error."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest

from dpgen import errors
from dpgen.cli import failures
from dpgen.cli.failures import exit_code
from dpgen.errors import ConfigError, DpgenError, PrivacyError

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text()
CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DpgenError)]
LINES = re.findall(r'^\| <a id="(\w+)"></a>(DPG\d{3}) \| `(\w+)` \| ([^|]+) \| ([^|]+) \|$', PAGE, re.MULTILINE)


def test_each_error_states_a_code_of_its_own() -> None:
    assert all("code" in vars(kind) for kind in CLASSES)
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)


def test_the_page_has_exactly_one_line_for_each_error() -> None:
    assert sorted((code, name) for _, code, name, *_ in LINES) == sorted((kind.code, kind.__name__) for kind in CLASSES)
    assert all(anchor == code.lower() for anchor, code, *_ in LINES)
    assert [code for _, code, *_ in LINES] == sorted(code for _, code, *_ in LINES)


# What has been given out. A line may be added; to change or remove one is to break what people have written down.
GIVEN_OUT = """
DPG000 DpgenError, DPG101 InvalidValue, DPG102 ConfigError, DPG200 PrivacyError, DPG201 BudgetExceeded,
DPG202 CapExceeded, DPG203 PlanMismatch, DPG204 UnsupportedEvent, DPG205 SensitivityError, DPG206 CalibrationError,
DPG207 ToleranceNotMet, DPG208 LedgerError, DPG301 OutOfMemory, DPG401 DataError, DPG501 StorageError,
DPG502 ResumeError, DPG600 PluginError, DPG601 PluginLoadError, DPG602 PluginVersionError, DPG603 DuplicateName,
DPG604 UnknownName, DPG700 EvaluationError, DPG701 TestSetReused, DPG702 SelectionOnTest, DPG800 DistributedError,
DPG801 ProcessLost
"""


def test_codes_stay_as_they_were_given_out() -> None:
    given = dict(line.split()[::-1] for line in GIVEN_OUT.replace("\n", " ").split(","))
    assert {name: getattr(errors, name).code for name in given} == given


def test_the_exit_codes_on_the_page_are_those_of_the_command_line() -> None:
    stated = {2: set(), 3: set()}
    for number, text in re.findall(r"\b([23]) for [^(]+\(([^)]+)\)", PAGE):
        stated[int(number)] = set(re.findall(r"DPG\d{3}", text))
    for kind in CLASSES:
        found = exit_code(kind.__new__(kind)) if kind is not errors.ProcessLost else 1
        assert found == next((number for number, codes in stated.items() if kind.code in codes), 1), kind.__name__


def test_a_subclass_elsewhere_has_the_code_of_its_parent() -> None:
    assert type("Mine", (PrivacyError,), {}).code == "DPG200"


def test_the_command_line_prints_the_code_and_none_for_what_was_not_foreseen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failures.show(ConfigError("expected this; found that. Do so."))
    assert capsys.readouterr().err.startswith("ConfigError DPG102: expected this")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        failures.show(sys.exc_info()[1])  # type: ignore[arg-type]
    assert "DPG" not in capsys.readouterr().err
