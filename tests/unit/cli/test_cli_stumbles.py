"""Small stumbles of a first hour: whose file is wrong, what was meant, and tables that fit 80 columns."""

from __future__ import annotations

from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.cli.method_tables import methods_table
from dpgen.cli.tables import plan_table
from dpgen.config import preset, to_toml
from dpgen.data.datasets import SyntheticDataset
from dpgen.errors import ConfigError, StorageError
from dpgen.pipeline import prepare
from dpgen.pipeline.release import samples_sheet
from dpgen.plugins.methods import MethodFacts
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


def test_methods_are_whole_at_80_columns() -> None:
    fact = MethodFacts(
        "lipschitz_vae",
        ("posterior-samples: OnShards AggregatePosterior",),
        ("add_or_remove_one", "replace_one"),
        True,
        ("Gross, Wunder: Differentially Private Synthetic Data Generation via Lipschitz-Regularised Autoencoders.",),
    )
    console = Console(width=80, record=True, file=StringIO())
    console.print(methods_table([fact], {}))
    shown = console.export_text()
    assert max(map(len, shown.splitlines())) <= 80
    for whole in (*fact.charges, "add-or-remove-one, replace-one", "Lipschitz-Regularised", "`--check`"):
        assert whole in shown


def test_a_folder_in_use_is_refused_before_images_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").touch()
    task = SimpleNamespace(info=SimpleNamespace(class_names=("a", "b")))
    monkeypatch.setattr("dpgen.pipeline.released.load_released", lambda *_: (None, task))
    monkeypatch.setattr("dpgen.pipeline.sampling.sample", lambda *_, **__: pytest.fail("images were made"))
    refused = CliRunner().invoke(app, ["sample", str(tmp_path / "run"), "--out", str(tmp_path)]).exception
    assert isinstance(refused, StorageError)
    assert "holds files" in str(refused)


def test_the_sheet_of_a_small_release_is_as_wide_as_its_fullest_row() -> None:
    made = SyntheticDataset(torch.zeros(5, 1, 48, 48), torch.tensor([0, 0, 0, 1, 1]), ("a", "b"))
    wide = SyntheticDataset(torch.zeros(20, 1, 48, 48), torch.arange(20) % 2, ("a", "b"))
    sheets = [Image.open(BytesIO(samples_sheet(dataset))).convert("L") for dataset in (made, wide)]
    assert sheets[0].width == sheets[1].width - 7 * (48 + 6)
    assert sheets[0].getpixel((sheets[0].width - 40, sheets[0].height - 40)) == 255  # b has two images, a three
