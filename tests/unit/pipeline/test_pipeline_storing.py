"""Synthetic images in every form a release can have: written whole, found again, refused before anything is charged."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import Shape
from dpgen.data.sources import open_source
from dpgen.errors import DataError
from dpgen.pipeline import prepare
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.storing import FORMS, require_form, stored_images, write_synthetic
from dpgen.testing.toy_run import toy_config, toy_registry

NAMES = ("zebra", "ant, red", "cat")  # not in the order of their code points, and one with a comma


@pytest.fixture
def made() -> SyntheticDataset:
    images = torch.randint(0, 256, (9, 3, 4, 4), generator=torch.Generator().manual_seed(0)).float() / 255
    return SyntheticDataset(images, torch.arange(9) % 2, NAMES)  # no cat


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_again_with_its_images_and_labels(made: SyntheticDataset, tmp_path: Path, form: str):
    path = write_synthetic(made, tmp_path / "synthetic", form)
    assert stored_images(tmp_path) == path
    table = open_source(str(path), named={}, class_names=NAMES).load(Shape(3, 4, 4))
    assert table.class_names == NAMES
    order = made.labels.argsort(stable=True) if form == "imagefolder" else torch.arange(9)  # folders go class by class
    assert torch.equal(table.labels, made.labels[order])
    assert torch.equal(table.images, (made.images[order] * 255).round().to(torch.uint8))


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path):
    assert stored_images(tmp_path) is None


def test_the_hubs_list_names_every_image_once(made: SyntheticDataset, tmp_path: Path):
    folder = write_synthetic(made, tmp_path, "imagefolder")
    with (folder / "metadata.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["file_name"] for line in lines} == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*.png")
    }
    assert [line["label"] for line in lines] == [NAMES[label] for label in made.labels]
    assert (folder / "cat").is_dir()  # a class of which none was made


def test_names_that_cannot_be_folders_are_refused_before_anything_is_opened(tmp_path: Path):
    require_form("imagefolder", NAMES)
    require_form("parquet", ("a/b",))
    with pytest.raises(DataError, match="'a/b'"):
        require_form("imagefolder", ("a/b",))
    names = np.array(["low", "middle", "high:er"])
    np.savez(tmp_path / "private.npz", images=np.zeros((3, 8, 8), np.uint8), labels=np.arange(3), class_names=names)
    with pytest.raises(DataError, match="high:er"):
        prepare(toy_config(tmp_path, ["run.format=imagefolder"]), toy_registry())
    prepare(toy_config(tmp_path), toy_registry())  # another form takes them


def test_what_a_killed_process_left_of_the_images_is_not_released(tmp_path: Path):
    folder = RunFolder(tmp_path)
    leftover = folder.staging / "synthetic" / ".train.abc.tmp" / "whole"
    leftover.mkdir(parents=True)
    (leftover / "000000.png").write_bytes(b"half")
    (folder.staging / "synthetic" / "train").mkdir()
    folder.sweep()
    assert [path.name for path in (folder.staging / "synthetic").iterdir()] == ["train"]
