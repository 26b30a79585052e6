"""A run killed with -9 anywhere resumes to the same guarantee: nothing charged twice, nothing released drawn again."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from dpgen.config import Config
from dpgen.pipeline import run
from dpgen.pipeline.folder import RunFolder
from dpgen.record import RunRecord
from dpgen.testing.crash import AtStorage, InPhase, run_until_killed
from dpgen.testing.toy_run import toy_config, toy_registry

SCORING = [InPhase("evaluate: scores"), AtStorage("write", "scores.json")]
POINTS = [
    AtStorage("write", "run.key"),
    AtStorage("write", "settings.json"),
    AtStorage("replace", "settings.json"),
    AtStorage("write", "owner.jsonl"),  # before the owner's ledger has the run
    AtStorage("write", "ledger.jsonl", 0),  # header
    AtStorage("write", "ledger.jsonl", 1),  # adopted plan
    AtStorage("write", "ledger.jsonl", 2),  # first charge
    AtStorage("fsync", "ledger.jsonl", 3),  # second charge: written, perhaps not yet durable
    InPhase("class-means"),
    AtStorage("replace", "means.checkpoint"),
    InPhase("public"),
    InPhase("refine", 1),
    InPhase("refine", 30),  # after a checkpoint of DP-SGD
    AtStorage("replace", "run.fit.checkpoint"),
    InPhase("sample"),
    AtStorage("replace", "run.sample.0.checkpoint"),
    *SCORING,
    AtStorage("replace", "train.npz"),
    AtStorage("write", "run.json"),
    AtStorage("replace", "release"),
    AtStorage("fsync", "run"),  # the release is in place, the key not yet deleted
]


def config_in(folder: Path, *, scored: bool = False) -> Config:
    scores = [f"data.test={folder}/test.npz", "evaluation.steps=4", "evaluation.feature_steps=2"] if scored else []
    return toy_config(folder, [f"privacy.ledger={folder}/owner.jsonl", "run.format=npz", *scores])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return run(config_in(tmp_path_factory.mktemp("whole")), registry=toy_registry())


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_killed_run_resumes_to_the_same_guarantee(point: InPhase | AtStorage, tmp_path: Path, expected: RunRecord):
    config, folder = config_in(tmp_path, scored=point in SCORING), RunFolder(tmp_path / "run")
    assert run_until_killed(config, point), "the run ended before it came to the point"
    before = _kept(folder)

    record = run(config, registry=toy_registry(), resume=True)

    assert record.guarantee == expected.guarantee
    assert record.charges == expected.charges == record.plan.charges
    charged = [line for line in _lines(folder.release / "ledger.jsonl") if line["type"] == "charge"]
    assert [line["label"] for line in charged] == ["class-means", "refine"]
    assert len(_lines(tmp_path / "owner.jsonl")) == 2, "one header, and one line for the run"
    after = _kept(folder)
    assert {name: after[name] for name in before} == before, "what was released or written down has changed"
    assert not list(folder.internal.glob("run.key")), "the run key must be gone"
    assert not list(folder.release.rglob(".*")), "half-written files must not be released"
    assert {path.name for path in folder.release.iterdir()} == RELEASED


RELEASED = {
    *("synthetic", "model", "run.json", "ledger.jsonl", "report.html", "README.md", "samples.png", "means.json"),
}


def _kept(folder: RunFolder) -> dict[str, bytes]:
    """What must survive: the whole lines of the ledger, and the answer of the first release."""
    kept = {f"ledger {i}": line for i, line in enumerate(_whole_lines(folder.ledger))}
    for place in (folder.staging, folder.release):
        if (place / "means.json").exists():
            kept["means"] = (place / "means.json").read_bytes()
    return kept


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in _whole_lines(path)]


def test_the_same_stopped_run_resumed_twice_gives_the_same_bytes(tmp_path: Path):
    """All that is left to draw follows from the run key: two resumptions of one state are one release."""
    config = config_in(tmp_path)
    assert run_until_killed(config, InPhase("refine", 30))
    shutil.copytree(tmp_path, copied := tmp_path.parent / "copied")
    run(config, registry=toy_registry(), resume=True)
    elsewhere = config.model_copy(update={"run": config.run.model_copy(update={"output": f"{copied}/run"})})
    run(elsewhere, registry=toy_registry(), resume=True)
    for name in ("model/weights.safetensors", "synthetic/train.npz", "means.json"):
        assert (tmp_path / "run/release" / name).read_bytes() == (copied / "run/release" / name).read_bytes()


def test_two_runs_never_share_their_noise(tmp_path: Path):
    """The broken twin of the test above: a new run has a new key, and other noise."""
    weights = []
    for name in ("first", "second"):
        (folder := tmp_path / name).mkdir()
        run(config_in(folder), registry=toy_registry())
        weights.append((folder / "run/release/model/weights.safetensors").read_bytes())
    assert weights[0] != weights[1]


def test_the_run_key_is_secret_and_written_before_the_first_charge(tmp_path: Path):
    config, folder = config_in(tmp_path), RunFolder(tmp_path / "run")
    assert run_until_killed(config, AtStorage("write", "ledger.jsonl", 2))
    key = folder.internal / "run.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert not any(b'"charge"' in line for line in _whole_lines(folder.ledger))


def test_nothing_is_released_before_the_end(tmp_path: Path):
    config, folder = config_in(tmp_path), RunFolder(tmp_path / "run")
    assert run_until_killed(config, AtStorage("replace", "release"))
    assert not folder.release.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "at_least"), [("write", 20), ("fsync", 20), ("replace", 10)])
def test_killed_before_every_operation_of_a_kind(operation: str, at_least: int, tmp_path: Path, expected: RunRecord):
    nth, killed = 0, True
    while killed:
        (folder := tmp_path / str(nth)).mkdir()
        config = config_in(folder)
        killed = run_until_killed(config, AtStorage(operation, "", nth))
        if killed:
            resume = RunFolder(folder / "run").internal.is_dir()
            record = run(config, registry=toy_registry(), resume=resume)
            assert record.guarantee == expected.guarantee
            assert record.charges == expected.charges
            assert len(_lines(folder / "owner.jsonl")) == 2
        nth += 1
    assert nth > at_least
