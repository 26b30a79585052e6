"""Every file operation of a run, and of a resumed run, is a place to crash: charged before read, and charged once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dpgen.data.datasets import PrivateDataset
from dpgen.pipeline import run
from dpgen.pipeline.folder import RunFolder
from dpgen.record import RunRecord
from dpgen.testing.crash_images import CrashImage, photographed
from dpgen.testing.toy_run import toy_config, toy_registry

CHARGES = ["class-means", "refine"]
STAGES = {"query": "means.checkpoint", "training": "refine.checkpoint", "sampling": "run.sample.0.checkpoint"}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a power cut could see the difference; the failpoints stay."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@contextmanager
def measuring(monkeypatch: pytest.MonkeyPatch, *, charge_first: bool = True) -> Iterator[list[str]]:
    """The labels of what was read from the private data. `charge_first=False` is the broken twin."""
    measured: list[str] = []
    release = PrivateDataset.release

    def watched(self, mechanism, *, label):
        if not charge_first:
            measured.append(label)  # as if the data were read before its price is written down
            return release(self, mechanism, label=label)
        real = type(mechanism)._measure

        def measure(inner, *args, **kwargs):
            measured.append(label)
            return real(inner, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(mechanism), "_measure", measure)
            return release(self, mechanism, label=label)

    with monkeypatch.context() as patch:
        patch.setattr(PrivateDataset, "release", watched)
        yield measured


def settings(folder: Path):
    return toy_config(folder, [f"privacy.ledger={folder}/owner.jsonl", "run.format=npz", "method.steps=4"])


def go_on(folder: Path) -> RunRecord:
    """What a user does after a crash: `--resume` where there is a run, else a new start."""
    config = settings(folder)
    return run(config, registry=toy_registry(), resume=RunFolder(folder / "run").internal.is_dir())


def charged(folder: Path) -> list[str]:
    whole = [line for path in folder.rglob("internal/ledger.jsonl") for line in path.read_bytes().split(b"\n")[:-1]]
    return [entry["label"] for entry in map(json.loads, whole) if entry["type"] == "charge"]


def reserved(folder: Path) -> int:
    path = folder / "owner.jsonl"
    return sum(b'"type": "run"' in line for line in path.read_bytes().split(b"\n")[:-1]) if path.exists() else 0


def uncharged(images: list[CrashImage]) -> list[CrashImage]:
    """Where something was read that the files do not show as charged, or no reservation covers."""
    return [i for i in images if set(i.measured) - set(charged(i.files)) or (i.measured and reserved(i.files) != 1)]


def album(live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, charge_first: bool = True, name="album"):
    with (
        measuring(monkeypatch, charge_first=charge_first) as measured,
        photographed(live, tmp_path / name, measured) as images,
    ):
        record = go_on(live)
    return images, record


def check(images: list[CrashImage], live: Path, expected: RunRecord) -> None:
    assert not uncharged(images)
    for image in images:
        assert len(set(charged(image.files)) - set(image.measured)) <= 1, "one crash wastes at most one event"
        image.restore(live)
        record = go_on(live)
        assert record.guarantee == expected.guarantee
        assert [charge.label for charge in record.charges] == charged(live) == CHARGES
        assert reserved(live) == 1


@pytest.fixture
def live(tmp_path: Path) -> Path:
    (folder := tmp_path / "live").mkdir()
    settings(folder)  # writes the data
    return folder


def test_every_operation_of_a_run_is_covered(live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = album(live, tmp_path, monkeypatch)
    assert {image.operation for image in images} == {"write", "fsync", "replace", "remove", "lock"}
    assert {image.name for image in images} >= {*STAGES.values(), "owner.jsonl", "ledger.jsonl", "run.key", "release"}
    assert len(images) > 80
    assert not uncharged(images)


def test_the_check_rejects_a_run_that_reads_first(live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = album(live, tmp_path, monkeypatch, charge_first=False)
    assert uncharged(images)


@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_any_operation(part: int, live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them: a quarter of the operations in each part."""
    images, expected = album(live, tmp_path, monkeypatch)
    check(images[part::4], live, expected)


@pytest.mark.parametrize("stage", STAGES)
def test_a_second_crash_while_resuming(stage: str, live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run crashes in a stage, and then once more at each operation of the resumed run before the release."""
    images, expected = album(live, tmp_path, monkeypatch)
    first = next(image for image in images if image.name == STAGES[stage])
    first.restore(live)
    again, _ = album(live, tmp_path, monkeypatch, name="second")
    assert not [i for i in again if i.measured and reserved(i.files) != 1]
    assert all(set(image.measured) <= set(charged(image.files)) for image in again)
    for image in again[:: max(1, len(again) // 12)]:
        image.restore(live)
        record = go_on(live)
        assert record.guarantee == expected.guarantee
        assert charged(live) == CHARGES
        assert reserved(live) == 1
