"""A release of class folders: recorded file by file, verified, read back, scored, and rebuilt like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import dpgen
from dpgen.config.tables import EvaluationConfig
from dpgen.pipeline import run
from dpgen.pipeline.evaluating import Comparison, evaluate
from dpgen.pipeline.rebuilding import rebuild_pages
from dpgen.pipeline.synthesizer import Synthesizer
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders")
    run(toy_config(folder, ["run.format=imagefolder"]), registry=toy_registry())
    return folder / "run"


def test_every_image_is_recorded_and_the_record_verifies(finished: Path) -> None:
    found = dpgen.verify(finished, registry=toy_registry())
    images = [name for name in found.record.released if name.endswith(".png") and name.startswith("synthetic/train/")]
    assert len(images) == 30
    assert "synthetic/train/metadata.csv" in found.record.released
    assert found.passed
    altered = finished / "release" / images[0]
    before = altered.read_bytes()
    altered.write_bytes(before + b" ")
    try:
        assert not dpgen.verify(finished, registry=toy_registry()).passed
    finally:
        altered.write_bytes(before)


def test_the_pages_are_rebuilt_alike(finished: Path) -> None:
    assert [page.changed for page in rebuild_pages(finished, registry=toy_registry())] == [False, False, False]
    assert "more, all in run.json" in (finished / "release" / "report.html").read_text()


@pytest.mark.parametrize("place", ["", "release", "release/synthetic/train"])
def test_the_images_are_scored_wherever_they_are_pointed_at(finished: Path, place: str) -> None:
    comparison = Comparison(synthetic=str(finished / place), real=str(finished.parent / "test.npz"))
    scores = evaluate(comparison, toy_registry(), EvaluationConfig(steps=3, metrics=("accuracy",)))
    assert 0 <= scores["accuracy"].value <= 1


def test_the_images_read_back_in_the_order_of_the_classes(finished: Path) -> None:
    made = Synthesizer.load(finished, registry=toy_registry()).synthetic
    assert made.class_names == CLASS_NAMES  # as declared, not as folders sort
    assert torch.bincount(made.labels).tolist() == [10, 10, 10]
