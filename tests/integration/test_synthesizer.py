"""The Python surface is the pipeline: the same folder, record and guarantee, with arrays that are never written."""

from __future__ import annotations

import doctest
import gc
from pathlib import Path

import numpy as np
import pytest
import torch

import dpgen
from dpgen.errors import (
    BudgetExceeded,
    CalibrationError,
    ConfigError,
    DataError,
    DpgenError,
    InvalidValue,
    StorageError,
)
from dpgen.pipeline import synthesizer
from dpgen.pipeline.arrays import ARRAYS, in_memory
from dpgen.testing.toy import toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_registry

PIXELS, LABELS = toy_images(300)
TENSOR = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
DECLARED = {"class_names": CLASS_NAMES, "records": 300, "count": 30}


def toy(**changed: object) -> dpgen.Synthesizer:
    settings = {"epsilon": 8.0, "public": None, "settings": {"steps": 5}, "overrides": ["compute.threads=1"]}
    return dpgen.Synthesizer("toy", registry=toy_registry(), **(settings | changed))


@pytest.fixture(scope="module")
def fitted() -> dpgen.Synthesizer:
    return toy().fit(TENSOR, LABELS, **DECLARED)


def test_the_example_in_the_module_is_true() -> None:
    found = doctest.testmod(synthesizer)
    assert found.attempted >= 4
    assert found.failed == 0


def test_fit_sample_save_load(fitted: dpgen.Synthesizer, tmp_path: Path) -> None:
    assert fitted.guarantee.epsilon_upper <= 8.0
    assert fitted.record.private
    assert fitted.record.config["data"]["private"] == ARRAYS
    assert fitted.record.data["nominal_records"] == 300
    assert fitted.synthetic.images.shape == (30, 1, 8, 8)
    more = fitted.sample(4, seed=3)
    saved = fitted.save(tmp_path / "deep" / "model")
    with pytest.raises(StorageError, match="there already"):
        fitted.save(saved)
    again = dpgen.Synthesizer.load(saved, registry=toy_registry())
    assert torch.equal(again.sample(4, seed=3).images, more.images)
    assert again.record == fitted.record
    assert dpgen.verify(saved, registry=toy_registry()).passed
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_private_arrays_are_never_written_and_a_temporary_run_ends_with_its_object(tmp_path: Path) -> None:
    marked = PIXELS.copy()
    marked[7, 2:5, 1:7, 0] = np.arange(18, dtype=np.uint8).reshape(3, 6) + 101  # a pattern to look for
    kept = toy().fit(marked[..., 0], LABELS, **DECLARED, out=tmp_path / "run")
    row = marked[7, 3, :, 0].tobytes()
    assert not any(row in path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert (tmp_path / "run" / "internal").is_dir()
    temporary = toy().fit(PIXELS, LABELS, **DECLARED)
    root = temporary._fitted.parent
    assert root.stat().st_mode & 0o077 == 0
    del temporary
    gc.collect()
    assert not root.exists()
    assert kept._fitted.exists()


def test_a_path_and_a_resumed_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=PIXELS, labels=LABELS, class_names=np.array(CLASS_NAMES))
    first = toy().fit(tmp_path / "mine.npz", records=300, count=30, out=tmp_path / "run")
    again = toy().fit(tmp_path / "mine.npz", records=300, count=30, out=tmp_path / "run", resume=True)
    assert again.record == first.record
    with pytest.raises(StorageError, match="finished run"):
        toy().fit(tmp_path / "mine.npz", records=300, count=30, out=tmp_path / "run")


def test_nothing_is_sampled_before_it_is_fitted() -> None:
    with pytest.raises(InvalidValue, match="Call `fit`"):
        toy().sample(3, seed=0)


@pytest.mark.parametrize("missing", ["labels", "class_names", "records"])
def test_what_the_owner_must_declare_is_asked_for(missing: str) -> None:
    given = {"labels": LABELS, **DECLARED, missing: None}
    with pytest.raises(ConfigError, match=f"{missing}="):
        toy().fit(TENSOR, **given)


@pytest.mark.parametrize(
    ("images", "labels", "error"),
    [
        (TENSOR[:, 0], LABELS, DataError),
        (PIXELS.astype(np.int64), LABELS, DataError),
        (PIXELS, LABELS[:-1], DataError),
        (PIXELS, LABELS + 1, DataError),
        (PIXELS.astype(np.float32), LABELS, DataError),  # 0..255 as floating point: not in [0, 1]
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_is_charged(
    images: object, labels: object, error: type[DpgenError], tmp_path: Path
) -> None:
    with pytest.raises(error):
        toy().fit(images, labels, **DECLARED, out=tmp_path / "run")
    assert not list(tmp_path.rglob("ledger.jsonl"))


def test_a_budget_that_does_not_suffice_and_unknown_settings_are_refused() -> None:
    with pytest.raises((BudgetExceeded, CalibrationError)):
        toy(epsilon=1e-9).fit(TENSOR, LABELS, **DECLARED)
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        toy(settings={"stepps": 3}).fit(TENSOR, LABELS, **DECLARED)


def test_tensors_and_arrays_are_the_same_images() -> None:
    shape = dpgen.Shape(1, 8, 8)
    tables = [in_memory(images, LABELS, CLASS_NAMES)().load(shape) for images in (TENSOR, PIXELS, PIXELS[..., 0])]
    assert torch.equal(tables[0].images, TENSOR)
    assert all(torch.equal(table.images, tables[0].images) for table in tables)
