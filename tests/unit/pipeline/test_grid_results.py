"""What came of a grid: means over seeds, published numbers beside ours, tables in every form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dpgen.budget import Guarantee
from dpgen.config import preset
from dpgen.errors import DataError, StorageError
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.grid import Grid, cells, read_grid
from dpgen.pipeline.grid.notes import Clock, Note
from dpgen.pipeline.grid.outcome import Result, result, rows, spent
from dpgen.pipeline.grid.pricing import priced, refuse_unplannable
from dpgen.pipeline.grid.published import published, source
from dpgen.pipeline.grid.sheets import duration, price_sheets, result_sheets
from dpgen.pipeline.grid.worker import told
from dpgen.pipeline.grid.writing import latex, markdown, to_json, write
from dpgen.pipeline.planning import prepare
from dpgen.plugins.registry import default_registry
from dpgen.record import RunRecord

GRID = """
name = "g"
title = "Ours & theirs"
metrics = ["accuracy", "frechet_distance"]
[[block]]
preset = "{data}/{method}/cpu/{epsilon}"
[block.axes]
data = ["mnist"]
method = ["dp_lora", "privimage"]
epsilon = [1.0]
"run.seed" = [0, 1, 2]
"""


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "g.toml").write_text(GRID)
    return read_grid(tmp_path / "g.toml")


def record(epsilon: float, delta: float) -> RunRecord:
    """A record as a run would leave it, of a plan that is priced here."""
    prepared = prepare(preset("mnist/dpdm/cpu/1", ["privacy.accountant=rdp"]), default_registry(), data_at_hand=False)
    guarantee = Guarantee(epsilon, delta, prepared.budget.relation, "rdp", "bound")
    return RunRecord(
        name="x",
        private=True,
        guarantee=guarantee,
        group=None,
        budget=prepared.budget,
        charges=prepared.plan.charges,
        plan=prepared.plan,
        config={},
        data={},
        public_data=None,
        generator="dpdm",
    )


@pytest.fixture
def results(grid: Grid, tmp_path: Path) -> list[Result]:
    """PrivImage with two of three seeds done; DP-LoRA with one done and one failed."""
    every = cells(grid, base=tmp_path, output=tmp_path / "out")
    done = record(0.999, 1e-6)
    states = {
        ("privimage", 0): (0.95, 10.0),
        ("privimage", 1): (0.97, 12.0),
        ("dp_lora", 0): (0.5, math.nan),
    }
    found = []
    for cell in every:
        scored = states.get((cell.method, cell.config.run.seed))
        if scored is not None:
            scores = dict(zip(("accuracy", "frechet_distance"), scored, strict=True))
            found.append(Result(cell, "done", Note(seconds=61.0, attempts=1), scores, done))
        elif cell.method == "dp_lora" and cell.config.run.seed == 1:
            found.append(Result(cell, "failed", Note(attempts=1, error="DataError DPG400: 50 % & more"), {}, None))
        else:
            found.append(Result(cell, "waiting", Note(), {}, None))
    return found


def test_rows_are_means_and_deviations_over_the_seeds_that_are_done(results: list[Result]):
    lora, privimage = rows(results)
    accuracy = privimage.scores["accuracy"]
    assert (accuracy.mean, accuracy.seeds) == (pytest.approx(0.96), 2)
    assert accuracy.deviation == pytest.approx(0.02 / math.sqrt(2))
    assert (privimage.done, privimage.seeds, privimage.seconds) == (2, 3, 61.0)
    assert privimage.noise_multiplier == pytest.approx(record(1, 1e-6).charges[-1].event.event.event.noise_multiplier)
    assert lora.scores["accuracy"].deviation is None
    assert math.isnan(lora.scores["frechet_distance"].mean)
    assert len(lora.failures) == 1


def test_what_all_releases_cost_together_counts_a_run_once(results: list[Result]):
    assert spent([*results, *results]) == {"mnist": (3, pytest.approx(3 * 0.999), pytest.approx(3e-6))}


def test_published_numbers_stand_beside_ours_and_invalid_ones_are_marked(grid: Grid, results: list[Result]):
    found = rows(results)
    (sheet,) = result_sheets(grid, found)
    lines = {line[0]: dict(zip(sheet.columns, line, strict=True)) for line in sheet.lines}
    assert lines["privimage"]["accuracy"] == "96.0 ± 1.4"
    assert lines["privimage"]["published"] == "94.0"
    assert lines["dp_lora"]["published"] == "82.2 [1]"
    assert lines["dp_lora"]["frechet_distance"] == "-"
    assert lines["privimage"]["time"] == "1:01"
    assert lines["privimage"]["seeds"] == "2/3"
    assert any(note.startswith("[1] invalid guarantee: each image becomes eight rows") for note in sheet.notes)
    assert any(source() in note for note in sheet.notes)
    assert any(note.startswith("failed: ") for note in sheet.notes)


def test_every_form_of_the_table(grid: Grid, results: list[Result], tmp_path: Path):
    found = rows(results)
    sheets = result_sheets(grid, found)
    write(tmp_path / "tables", grid, found, sheets, spent(results))
    text = (tmp_path / "tables" / "table.md").read_text()
    assert text == markdown(grid, sheets)
    assert "| privimage | 96.0 ± 1.4 |" in text
    tex = latex(grid, sheets)
    assert r"Ours \& theirs" in tex
    assert r"96.0 $\pm$ 1.4" in tex
    assert r"dp\_lora" in tex
    assert r"50 \% \& more" in tex
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") == 1
    data = json.loads((tmp_path / "tables" / "results.json").read_text())
    assert data == to_json(grid, found, spent(results))
    first = data["blocks"][0]["rows"][0]
    assert first["scores"]["frechet_distance"]["mean"] is None
    assert first["published"]["invalid"]
    assert data["releases"]["mnist"]["runs"] == 3


def test_published_table():
    assert published("cifar10", "privimage", 10.0).accuracy == pytest.approx(0.784)
    assert published("mnist", "privimage", 1.0).invalid == ""
    assert "critics" in published("mnist", "gs_wgan", 1.0).invalid
    assert published("mnist", "privimage", 5.0) is None
    assert published("digits", "privimage", 1.0) is None
    assert published("mnist", "unheard_of", 1.0) is None


def test_prices_and_what_cannot_be_planned(grid: Grid, tmp_path: Path):
    every = cells(grid, base=tmp_path, output=tmp_path / "out", overrides=["privacy.accountant=rdp"])
    hopeless = cells(
        grid,
        base=tmp_path,
        output=tmp_path / "out",
        overrides=["privacy.accountant=rdp", "data.size=27"],  # the U-Net needs even sides
    )
    mixed = [*every[:3], *hopeless[3:]]
    found = priced(mixed, default_registry())
    assert [row.seeds for row in found] == [3, 3]
    assert found[0].prices[-1].cumulative_epsilon <= 1
    assert "InvalidValue" in found[1].error
    (sheet,) = price_sheets(grid, found)
    assert sheet.lines[0][-2:] == (sheet.lines[0][-2], "3")
    assert "finetune" in sheet.lines[0][1]
    assert any("cannot be run" in note for note in sheet.notes)
    assert refuse_unplannable(mixed, default_registry()) == mixed[:3]
    assert result(mixed[4]).state == "failed"
    assert "InvalidValue" in result(mixed[4]).note.error


def test_a_clock_leaves_time_and_place_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dpgen.pipeline.grid.notes.SECONDS_BETWEEN", 0.01)
    Note(seconds=100.0, attempts=1, error="gone").write(tmp_path)
    clock = Clock(tmp_path)
    with clock.ticking(), clock.track("finetune", 9) as advance:
        advance(4)
        while Note.of(tmp_path).at != "finetune 4/9":
            pass
        assert Note.of(tmp_path).error == ""
    clock.end("DataError: x")
    note = Note.of(tmp_path)
    assert (note.attempts, note.at, note.error) == (2, "", "DataError: x")
    assert 100.0 < note.seconds < 200.0
    (tmp_path / "cell.json").write_text("{")
    with pytest.raises(StorageError, match="holds times alone"):
        Note.of(tmp_path)


def test_a_cell_that_was_begun_and_left_is_begun(grid: Grid, tmp_path: Path):
    cell = cells(grid, base=tmp_path, output=tmp_path / "out")[0]
    assert result(cell).state == "waiting"
    Note(seconds=1.0, attempts=1, at="pretrain 3/9").write(RunFolder(cell.config.run.folder).root.parent)
    assert result(cell).state == "begun"


def test_what_is_told_of_an_error():
    assert told(DataError("no labels")) == f"DataError {DataError.code}: no labels"
    with pytest.raises(ValueError, match="private content") as caught:
        raise ValueError("private content")
    assert "private content" not in told(caught.value)
    assert told(caught.value).startswith("ValueError in test_what_is_told_of_an_error")


@pytest.mark.parametrize(("seconds", "shown"), [(None, "-"), (59.6, "1:00"), (3599, "59:59"), (7260, "2:01 h")])
def test_durations(seconds: float | None, shown: str):
    assert duration(seconds) == shown
