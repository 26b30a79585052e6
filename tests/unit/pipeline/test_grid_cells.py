"""A grid file as cells: axes, points, names, and what is told of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpgen.errors import ConfigError
from dpgen.pipeline.grid import Cell, cells, read_grid
from dpgen.pipeline.grid.schedule import devices

BASE = """
name = "g"
[[block]]
preset = "{data}/{method}/demo/{epsilon}"
[block.set]
"run.count" = 50
[block.axes]
data = ["digits"]
epsilon = [1.0, 10.0]
"run.seed" = [0, 1]
[block.axes.trained]
"on the selection" = { method = "privimage" }
"not at all" = { method = "dpdm", "method.finetune.views" = 4 }
"""


def expanded(folder: Path, text: str = BASE, *overrides: str) -> tuple[Cell, ...]:
    (folder / "g.toml").write_text(text)
    return cells(read_grid(folder / "g.toml"), base=folder, output=folder / "out", overrides=overrides)


def test_cells_are_the_product_of_the_axes(tmp_path: Path):
    found = expanded(tmp_path)
    assert len(found) == 8
    last = found[-1]
    assert last.coordinates == {"data": "digits", "epsilon": "10", "run.seed": "1", "trained": "not at all"}
    assert (last.data, last.method, last.config.privacy.epsilon) == ("digits", "dpdm", 10.0)
    assert last.config.method.settings["finetune"]["views"] == 4
    assert last.config.run.count == 50
    assert found[0].config.privacy.epsilon == 1.0
    assert len({cell.row for cell in found}) == 4
    assert len({cell.name for cell in found}) == 8
    assert last.config.run.folder == tmp_path / "out" / "cells" / last.name / "run"


def test_a_name_says_what_a_run_is_and_not_where_it_stands(tmp_path: Path):
    twice = BASE + BASE.partition("[[block]]")[2].join(["[[block]]", ""]).replace("trained", "other")
    found = expanded(tmp_path, twice)
    assert [cell.name for cell in found[:8]] == [cell.name for cell in found[8:]]
    assert found[0].row != found[8].row
    assert expanded(tmp_path, BASE, "compute.threads=1")[0].name == expanded(tmp_path)[0].name
    assert expanded(tmp_path, BASE, "run.format=auto")[0].name == expanded(tmp_path)[0].name  # the default
    assert expanded(tmp_path, BASE, "run.count=51")[0].name != expanded(tmp_path)[0].name


def test_a_configuration_file_is_a_base_too(tmp_path: Path):
    (tmp_path / "own.toml").write_text(
        '[privacy]\nepsilon = 2.0\n[data]\nprivate = "digits"\n[method]\nname = "dpdm"\n[run]\nname = "x"\n'
    )
    (cell,) = expanded(tmp_path, 'name = "g"\n[[block]]\nconfig = "own.toml"\n[block.axes]\n"run.seed" = [3]\n')
    assert (cell.data, cell.method, cell.config.run.seed) == ("digits", "dpdm", 3)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name = "g"', 'name = "g"\ntitel = "x"', "Did you mean 'title'"),
        ("epsilon = [1.0, 10.0]", "epsilon = []", "epsilon has none"),
        ("epsilon = [1.0, 10.0]", "", "no axis gives it"),
        ("epsilon = [1.0, 10.0]", "epsilon = [1.0]\nseed = [0]", "seed: neither a key such as privacy.epsilon"),
        ('preset = "{data}/{method}/demo/{epsilon}"', "", "needs `preset` or `config`"),
        ('data = ["digits"]', 'data = ["digts"]', r"block 1, cell data digts.*Did you mean 'digits/"),
        ('"run.count" = 50', '"run.cuont" = 50', r"block 1.*Did you mean 'count'"),
        ('name = "g"', "name = ", "line 2"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, before: str, after: str, said: str):
    assert before in BASE
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        expanded(tmp_path, BASE.replace(before, after))


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected a TOML grid file"):
        read_grid(tmp_path / "none.toml")


def test_so_many_devices_as_jobs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert devices() == ("auto",)
    assert devices(3) == ("auto",) * 3
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices() == ("cuda:0", "cuda:1")
    assert devices(3) == ("cuda:0", "cuda:1", "cuda:0")


def test_the_grid_of_the_page_is_a_grid(tmp_path: Path):
    page = Path(__file__).parents[3] / "docs" / "how-to" / "benchmark-grid.md"
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    found = expanded(tmp_path, block)
    assert len(found) == 2 * 2 * 3 * 2 * 2
    assert {cell.config.privacy.accountant for cell in found} == {"rdp", "pld"}


@pytest.mark.parametrize("name", ["digits", "mnist_2000", "ablation", "dpimagebench"])
def test_the_grids_that_ship_are_grids(name: str, tmp_path: Path):
    path = Path(__file__).parents[3] / "benchmarks" / "grids" / f"{name}.toml"
    found = cells(read_grid(path), base=path.parent, output=tmp_path)
    assert len({cell.name for cell in found}) >= 12
    assert {cell.config.run.seed for cell in found} == {0, 1, 2}
