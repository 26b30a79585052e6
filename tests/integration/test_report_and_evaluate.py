"""Pages written again are the same bytes; scores for images of any origin, by the rules of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.config.tables import EvaluationConfig
from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Shape
from dpgen.data.writing import write_folder, write_npz, write_parquet
from dpgen.errors import ConfigError, DataError, StorageError, UnknownName
from dpgen.evaluation.base import NOT_RELEASED
from dpgen.evaluation.private_test import TestSplit
from dpgen.pipeline import run
from dpgen.pipeline.evaluating import Comparison, evaluate
from dpgen.pipeline.rebuilding import rebuild_pages
from dpgen.plugins.registry import default_registry
from dpgen.testing.toy import toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry

QUICK = {"steps": 3}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    scored = [f"data.test={folder}/test.npz", "evaluation.steps=3", "evaluation.feature_steps=2"]
    run(toy_config(folder, scored), registry=toy_registry())
    return folder


def test_pages_are_rebuilt_byte_for_byte_and_only_what_changed_is_written(finished: Path) -> None:
    root = finished / "run"
    pages = (root / "release/report.html", root / "release/README.md", root / "internal/report.html")
    before = [page.read_bytes() for page in pages]
    assert [page.changed for page in rebuild_pages(root)] == [False, False, False]
    pages[0].write_text("stale")
    pages[2].unlink()
    shown = CliRunner().invoke(app, ["report", str(root), "--json"])
    assert [page["changed"] for page in json.loads(shown.stdout)] == [True, False, True]
    assert [page.read_bytes() for page in pages] == before
    assert "Internal copy" in pages[2].read_text()


def test_a_release_alone_has_its_pages_rebuilt_and_no_scores_in_them(finished: Path) -> None:
    page, card = rebuild_pages(finished / "run" / "release")
    assert not page.changed
    assert not card.changed
    assert "accuracy" not in page.path.read_text()


def test_no_page_is_made_of_files_that_were_not_released(finished: Path) -> None:
    facts = finished / "run/release/means.json"
    before = facts.read_bytes()
    facts.write_bytes(before + b" ")
    try:
        with pytest.raises(StorageError, match=r"means\.json added or altered"):
            rebuild_pages(finished / "run")
    finally:
        facts.write_bytes(before)
    with pytest.raises(StorageError, match="finished run"):
        rebuild_pages(finished / "nowhere")


def test_runs_make_one_table_with_scores_and_time_for_the_owner_alone(finished: Path) -> None:
    root = finished / "run"
    invoke = lambda *arguments: CliRunner().invoke(app, ["report", *map(str, arguments)])  # noqa: E731
    (row,) = json.loads(invoke(root, "--format", "json").stdout)
    assert row["method"] == "toy"
    assert row["kind"] == "bound"
    assert row["scores"]["accuracy"]["runs"] == 1
    assert row["seconds"] > 0
    (released,) = json.loads(invoke(root / "release", "--format", "json").stdout)
    assert released["scores"] == {}
    assert released["seconds"] is None
    both = invoke(root, root / "release", "--format", "markdown", "--scores", "accuracy")
    assert "| toy " in both.stdout.splitlines()[2]
    assert "recall" not in both.stdout
    assert "computed on private images" in both.stderr
    assert "computed on private images" not in invoke(root / "release", "--format", "latex").stderr
    assert isinstance(invoke(root, "--format", "xml").exception, ConfigError)
    assert isinstance(invoke(root, "--format", "latex", "--json").exception, ConfigError)


def images(count: int, names: tuple[str, ...] = CLASS_NAMES) -> SyntheticDataset:
    pixels, labels = toy_images(count, seed=5)
    order = torch.tensor([names.index(name) for name in CLASS_NAMES])
    return SyntheticDataset(torch.from_numpy(pixels).permute(0, 3, 1, 2), order[torch.from_numpy(labels)], names)


@pytest.mark.parametrize("form", ["folder", "npz", "parquet", "run"])
def test_each_kind_of_place_is_scored(finished: Path, tmp_path: Path, form: str) -> None:
    place, shape = tmp_path / f"made.{form}", Shape(1, 8, 8) if form == "parquet" else None
    if form == "run":
        place = finished / "run"
    else:
        writers = {"folder": write_folder, "npz": write_npz, "parquet": write_parquet}
        writers[form](images(60), place)
    comparison = Comparison(synthetic=str(place), real=str(finished / "test.npz"), shape=shape)
    scores = evaluate(comparison, default_registry(), EvaluationConfig(steps=30))
    assert {"accuracy", "frechet_distance", "precision"} <= {score.name for score in scores.scores}
    assert all(score.note == NOT_RELEASED for score in scores.scores if score.name != "held_out_synthetic_accuracy")
    assert scores["accuracy"].details["confusion"] is not None


def test_labels_are_matched_by_name_not_by_place(finished: Path, tmp_path: Path) -> None:
    write_npz(images(90, names=("high", "low", "middle")), tmp_path / "other.npz")
    write_npz(images(90), tmp_path / "same.npz")
    scores = [
        evaluate(
            Comparison(synthetic=str(tmp_path / name), real=str(finished / "test.npz")),
            default_registry(),
            EvaluationConfig(steps=40),
        )
        for name in ("same.npz", "other.npz")
    ]
    assert scores[0]["accuracy"].value > 0.9  # bands of brightness are easy; labels by place would be wrong throughout
    assert scores[1]["accuracy"].value > 0.9


def test_the_real_images_are_opened_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    honest = TestSplit.open
    monkeypatch.setattr(TestSplit, "open", lambda self, classifier: opened.append(1) or honest(self, classifier))
    evaluate(
        Comparison(synthetic=str(finished / "run"), real=str(finished / "test.npz")),
        default_registry(),
        EvaluationConfig(steps=2),
    )
    assert opened == [1]


def test_the_command_prints_json_and_says_what_may_not_be_published(finished: Path) -> None:
    arguments = ["evaluate", str(finished / "run"), "--real", str(finished / "test.npz"), "--steps", "2", "-q"]
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json", "--metrics", "accuracy"]).stdout)
    assert {score["name"] for score in data["scores"]} == {
        "held_out_synthetic_accuracy",
        "accuracy",
        "balanced_accuracy",
    }
    assert data["note"] == NOT_RELEASED
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"}).stdout
    assert NOT_RELEASED in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_does_not_fit_is_refused(finished: Path, tmp_path: Path) -> None:
    real = str(finished / "test.npz")
    np.savez(
        tmp_path / "tall.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9) % 2, class_names=["a", "b"]
    )
    with pytest.raises(DataError, match="'a', 'b' in npz data"):
        evaluate(Comparison(synthetic=str(tmp_path / "tall.npz"), real=real), default_registry())
    with pytest.raises(UnknownName, match="accuracy"):
        evaluate(Comparison(synthetic=real, real=real), default_registry(), EvaluationConfig(metrics=("acuracy",)))
    refused = CliRunner().invoke(app, ["evaluate", real, "--real", real, "--size", "8"]).exception
    assert isinstance(refused, ConfigError)
