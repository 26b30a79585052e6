"""Small stumbles of a first hour: whose file is wrong, what was meant, and a plan that fits 80 columns."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.cli.tables import plan_table
from dpgen.config import preset, to_toml
from dpgen.errors import ConfigError
from dpgen.pipeline import prepare
from dpgen.plugins.registry import default_registry

DEMO = to_toml(preset("demo"))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_key_of_the_method_names_the_file(command: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(DEMO)
    arguments = [command, str(file), "--set", "method.stepps=3", *(["--out", str(tmp_path / "r")] * (command == "run"))]
    refused = CliRunner().invoke(app, arguments).exception
    assert isinstance(refused, ConfigError)
    assert str(refused).startswith(f"{file} has 1 error(s)")


@pytest.mark.parametrize(("typed", "meant"), [("pln", "plan"), ("verfy", "verify"), ("docter", "doctor")])
def test_a_misspelt_command_is_answered_by_the_nearest(typed: str, meant: str) -> None:
    refused = CliRunner().invoke(app, [typed])
    assert refused.exit_code == 2
    assert f"'{meant}'" in refused.output


def test_a_plan_fits_80_columns_with_each_event_on_one_line() -> None:
    prepared = prepare(preset("demo"), default_registry(), data_at_hand=False)
    console = Console(width=80, record=True, file=StringIO())
    console.print(plan_table(prepared))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    for line in prepared.prices:
        assert any(line.label in shown and str(line.event) in shown for shown in lines)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("dpgen plan --preset de", "demo"), ("dpgen config init priv", "privimage"), ("dpgen doc", "doctor")],
)
def test_the_shell_completes_presets_methods_and_commands(typed: str, offered: str) -> None:
    words = {"_DPGEN_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    assert offered in CliRunner().invoke(app, [], prog_name="dpgen", env=words).stdout.split()
