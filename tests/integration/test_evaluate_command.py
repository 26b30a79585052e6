"""`dpgen evaluate` on images of any origin: every setting reaches the protocol, and wrong input is told its mend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.errors import DpgenError
from dpgen.evaluation.base import NOT_RELEASED
from dpgen.testing.toy import toy_images

NAMES = ("a", "b", "c")


def save(
    path: Path, count: int, *, seed: int = 0, names: Sequence[str] = NAMES, without: str = "", side: int = 8
) -> str:
    images, labels = toy_images(count, seed=seed)
    images = np.repeat(np.repeat(images, side // 8, axis=1), side // 8, axis=2)
    arrays = {"images": images, "labels": labels, "class_names": np.array(names)}
    np.savez(path, **{name: array for name, array in arrays.items() if name != without})
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save(folder / "made.npz", 90, seed=2)
    save(folder / "real.npz", 60, seed=1)
    save(folder / "train.npz", 60, seed=3)
    save(folder / "three.npz", 3)
    save(folder / "nolabels.npz", 30, without="labels")
    save(folder / "nonames.npz", 30, without="class_names")
    save(folder / "other.npz", 30, names=("x", "y", "z"))
    save(folder / "large.npz", 30, side=16)
    save(folder / "uneven.npz", 62, seed=4)
    np.savez(folder / "none.npz", images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, np.int64), class_names=NAMES)
    (folder / "empty").mkdir()
    return folder


def told(place: Path, synthetic: str, *options: str, real: str = "real.npz") -> str:
    """The refusal."""
    found = CliRunner().invoke(
        app, ["evaluate", str(place / synthetic), "--real", str(place / real), "-q", "--steps", "2", *options]
    )
    assert isinstance(found.exception, DpgenError), found.output
    return str(found.exception)


@pytest.mark.parametrize(
    ("synthetic", "options", "mend"),
    [
        ("nolabels.npz", (), "expected an array labels"),
        ("nonames.npz", (), "expected an array class_names"),
        ("other.npz", (), "Give both sets the same classes"),
        ("large.npz", (), "--size 32"),
        ("none.npz", (), "found none in npz data"),
        ("empty", (), "one folder per class"),
        ("nowhere/at/all", (), "Check the path"),
        ("three.npz", (), "precision_recall: expected at least 5 synthetic images; found 3"),
        ("made.npz", ("--metrics", "acuracy"), "Did you mean 'accuracy'"),
        ("made.npz", ("--metrics", "accuracy,accuracy"), "each once"),
        ("made.npz", ("--metrics", "memorisation"), "--training"),
        ("made.npz", ("--metrics", "inception_score"), "one trained on a public set"),
        ("made.npz", ("--extractor", "inception_fi"), "Did you mean 'inception_fid'"),
        ("made.npz", ("--extractor", "inception_fid"), "--weights"),
        ("made.npz", ("--extractor", "public_cnn"), "--public"),
        ("made.npz", ("--weights", "nowhere.pt"), "--extractor"),
        ("made.npz", ("--extractor", "efficientnet_lite0", "--weights", "nowhere.pt"), "found none at nowhere.pt"),
        ("made.npz", ("--classifiers", "resnt"), "Did you mean 'resnet'"),
        ("made.npz", ("--device", "cudaa"), '"cpu"'),
        ("made.npz", ("--size", "8"), "--channels"),
    ],
)
def test_wrong_input_is_told_its_mend(place: Path, synthetic: str, options: tuple[str, ...], mend: str) -> None:
    assert mend in told(place, synthetic, *options)


def test_too_few_real_images_are_said_without_their_number(place: Path) -> None:
    text = told(place, "made.npz", real="three.npz")
    assert "at least 5 real test images; found fewer" in text


def test_every_setting_reaches_the_protocol(place: Path) -> None:
    options = ["--metrics", "accuracy,frechet_by_class,memorisation", "--extractor", "pixel_cosines", "--seeds", "2"]
    options += ["--classifiers", "cnn,cnn", "--training", str(place / "train.npz"), "--steps", "1", "--json"]
    command = ["evaluate", str(place / "made.npz"), "--real", str(place / "real.npz"), "-q", *options]
    found = CliRunner().invoke(app, command)
    data = json.loads(found.stdout)
    scores = {score["name"]: score for score in data["scores"]}
    assert data["note"] == NOT_RELEASED
    assert {"accuracy", "balanced_accuracy", "frechet_by_class", "memorisation"} <= set(scores)
    trainings = scores["accuracy_over_trainings"]["details"]["trainings"]
    assert [(one["classifier"], one["seed"]) for one in trainings] == [
        (name, seed) for seed in (0, 1) for name in ("cnn", "cnn")
    ]
    assert scores["memorisation"]["measured_by"] == "pixel-cosines-8x8"
    assert data["images"]["test"]["by_class"] == dict.fromkeys(NAMES, 20)
    assert data["images"]["training"] == {"images": 60}
    assert data["selection"]["recipe"]["classifiers"] == ["cnn", "cnn"]


def test_the_table_shows_classes_and_fits_80_columns(place: Path) -> None:
    command = ["evaluate", str(place / "made.npz"), "--real", str(place / "real.npz"), "-q", "--steps", "1"]
    shown = CliRunner().invoke(app, [*command, "--metrics", "accuracy,frechet_by_class"], env={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "test images" in shown
    assert "held-out synthetic images" in shown
    assert "apart" not in shown


def test_uneven_labels_are_pointed_at(place: Path, tmp_path: Path) -> None:
    images, labels = toy_images(90, seed=5)
    kept = np.flatnonzero((labels > 0) | (np.arange(90) < 12))
    np.savez(tmp_path / "few_of_one.npz", images=images[kept], labels=labels[kept], class_names=np.array(NAMES))
    command = ["evaluate", str(place / "made.npz"), "--real", str(tmp_path / "few_of_one.npz"), "-q", "--steps", "1"]
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "80"}).stdout
    assert "0.27 apart (total variation)" in " ".join(shown.split())
