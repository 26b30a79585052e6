"""`dpgen bench` on the command line: prices, tables and exit codes; nothing here starts a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpgen.cli.app import app
from dpgen.errors import ConfigError
from dpgen.pipeline.grid import schedule

GRID = """
name = "g"
title = "Two methods"
[[block]]
preset = "{data}/{method}/cpu/{epsilon}"
[block.set]
"privacy.accountant" = "rdp"
[block.axes]
data = ["mnist"]
method = ["dp_lora", "dpdm"]
epsilon = [1.0, 10.0]
"run.seed" = [0, 1]
"""


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def never(*_: object) -> None:
        raise AssertionError("no run was to be started")

    monkeypatch.setattr(schedule, "_begun", never)
    (tmp_path / "g.toml").write_text(GRID)
    return tmp_path / "g.toml"


def bench(grid: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", str(grid), "--out", str(grid.parent / "out"), *arguments])


def test_a_dry_run_prices_every_row(grid: Path):
    done = bench(grid, "--dry-run", "--json")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    assert data["runs"] == 8
    assert [row["coordinates"]["epsilon"] for row in data["rows"]] == ["1", "10", "1", "10"]
    assert all(row["charges"][-1]["epsilon"] <= float(row["coordinates"]["epsilon"]) for row in data["rows"])
    assert not (grid.parent / "out").exists()


def test_only_some_cells(grid: Path):
    data = json.loads(bench(grid, "--dry-run", "--json", "--only", "dpdm-eps10").stdout)
    assert (data["runs"], len(data["rows"])) == (2, 1)


def test_what_cannot_be_planned_is_told_and_ends_with_1(grid: Path):
    done = bench(grid, "--dry-run", "--set", "data.size=27")
    assert done.exit_code == 1
    assert "cannot be run: mnist-dp_lora-eps1-seed0" in done.stdout
    done = bench(grid, "--set", "data.size=27", "--quiet")
    assert done.exit_code == 1
    assert done.stdout.count("failed: mnist-") == 8
    assert "InvalidValue" in done.stdout


def test_a_table_of_nothing_done_yet(grid: Path):
    done = CliRunner().invoke(
        app, ["bench", str(grid), "--out", str(grid.parent / "out"), "--table"], env={"COLUMNS": "80"}
    )
    assert done.exit_code == 0
    assert "0/2" in done.stdout
    assert "82.2 [1]" in done.stdout
    assert "[1] invalid guarantee: each image becomes eight rows" in done.stdout
    written = {path.name for path in (grid.parent / "out").iterdir()}
    assert written == {"table.md", "table.tex", "results.json"}


def test_a_grid_that_is_none_is_refused(grid: Path):
    grid.write_text(GRID.replace("axes", "axis"))
    assert isinstance(bench(grid).exception, ConfigError)
