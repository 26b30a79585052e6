"""A whole run on made-up images: what is released, what stays, and what is refused before anything is charged."""

from __future__ import annotations

import json
import stat
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from dpgen.accountants.rdp.accountant import RdpAccountant
from dpgen.config import Config
from dpgen.data.sources import open_source
from dpgen.data.sources.npz import NpzSource
from dpgen.errors import (
    BudgetExceeded,
    CapExceeded,
    ConfigError,
    DataError,
    InvalidValue,
    ResumeError,
    StorageError,
    UnknownName,
)
from dpgen.ledger import OwnerLedger, read_ledger
from dpgen.mechanisms.context import Advance, SilentProgress
from dpgen.noise import SeededNoise
from dpgen.pipeline import execute, prepare, run
from dpgen.pipeline.folder import RunFolder
from dpgen.pipeline.released import load_released
from dpgen.record import RunRecord
from dpgen.storage import FileLock, digest
from dpgen.testing.crash import InPhase, run_until_killed
from dpgen.testing.toy import toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry

CANARY = "canary-7f3a91"


def config_in(folder: Path, *overrides: str) -> Config:
    scores = [f"data.test={folder}/test.npz", "evaluation.steps=4", "evaluation.feature_steps=2"]
    return toy_config(folder, [*scores, "run.format=npz", *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run whose data lies below a folder with a telling name."""
    folder = tmp_path_factory.mktemp(CANARY)
    run(config_in(folder, f"privacy.ledger={folder}/owner.jsonl"), registry=toy_registry())
    return RunFolder(folder / "run")


def test_the_release_is_complete(finished: RunFolder):
    found = {path.relative_to(finished.release).as_posix() for path in finished.release.rglob("*") if path.is_file()}
    assert found == {
        *("synthetic/train.npz", "model/weights.safetensors", "model/config.json", "run.json", "ledger.jsonl"),
        *("report.html", "README.md", "samples.png", "means.json"),
    }


def test_the_record_tells_the_guarantee(finished: RunFolder):
    data = json.loads((finished.release / "run.json").read_text())
    assert {"epsilon_upper", "delta", "relation", "accountant", "kind"} <= set(data["guarantee"])
    record = RunRecord.read(finished.release)
    proved = RdpAccountant().epsilon(record.plan.event, delta=record.budget.delta, relation=record.budget.relation)
    assert data["guarantee"]["epsilon_upper"] == proved.upper < 8.0, "what was proved, not what might be spent"
    assert data["guarantee"]["relation"] == "add_or_remove_one"
    assert data["private"] is True
    assert [charge["label"] for charge in data["charges"]] == ["class-means", "refine"]
    assert data["charges"] == data["plan"]["charges"]
    assert any("floating point" in caveat for caveat in data["guarantee"]["caveats"])
    assert data["config"]["privacy"]["epsilon"] == 8.0


def test_the_ledger_agrees_with_the_record(finished: RunFolder):
    record, history = RunRecord.read(finished.release), read_ledger(finished.release / "ledger.jsonl")
    assert history.charges == record.charges == record.plan.charges


def test_the_digests_are_those_of_the_files(finished: RunFolder):
    released = RunRecord.read(finished.release).released
    assert {name: digest(finished.release / name) for name in released} == released
    assert set(released) >= {"synthetic/train.npz", "model/weights.safetensors", "means.json", "ledger.jsonl"}


def test_the_synthetic_images_read_back(finished: RunFolder):
    source = open_source(str(finished.release / "synthetic/train.npz"), named={})
    shape = source.native_shape()
    assert shape is not None
    table = source.load(shape)
    assert source.class_names() == CLASS_NAMES
    assert table.images.shape == (30, 1, 8, 8)
    assert torch.bincount(table.labels).tolist() == [10, 10, 10]


def test_internal_matters_stay_internal(finished: RunFolder):
    scores = json.loads(finished.scores.read_text())
    accuracy = next(score for score in scores["scores"] if score["name"] == "accuracy")
    assert accuracy["note"] == "not part of the DP release"
    assert "accuracy" in finished.report.read_text()
    assert "accuracy" not in (finished.release / "report.html").read_text()
    assert not list(finished.internal.glob("*.key"))


def test_nothing_of_the_owner_is_in_the_release_or_the_log(finished: RunFolder):
    """Folder names, digests of private files, and whole private images would give the owner away."""
    images, _ = toy_images(300, seed=0)
    private_file = finished.root.parent / "private.npz"
    settings = json.loads((finished.internal / "settings.json").read_text())
    secrets = [CANARY.encode(), digest(private_file).encode(), settings["private_data"].encode()]
    secrets += [image.tobytes() for image in images]
    released = {path: path.read_bytes() for path in finished.release.rglob("*") if path.is_file()}
    synthetic = np.load(finished.release / "synthetic/train.npz")["images"]
    for content in [*released.values(), finished.log.read_bytes(), synthetic.tobytes()]:
        assert not any(secret in content for secret in secrets)
    assert CANARY.encode() in (finished.internal / "settings.json").read_bytes()  # the search can find it


def test_no_image_of_a_canary_record_is_released(tmp_path: Path):
    """A record unlike all others leaves no trace in the synthetic images."""
    config = config_in(tmp_path)
    archive = dict(np.load(tmp_path / "private.npz"))
    canary = np.zeros((8, 8, 1), np.uint8)
    canary[::2, ::2] = 255
    archive["images"][0] = canary
    np.savez(tmp_path / "private.npz", **archive)
    run(config, registry=toy_registry())
    synthetic = np.load(tmp_path / "run/release/synthetic/train.npz")["images"].reshape(30, -1).astype(float)
    rows = np.vstack([synthetic, canary.reshape(1, -1)])
    similarity = np.corrcoef(rows)[-1, :-1]
    assert similarity.max() < 0.5
    assert np.corrcoef(np.vstack([canary.ravel(), canary.ravel()]))[0, 1] > 0.99


def test_a_finished_run_is_returned_and_not_repeated(finished: RunFolder):
    folder = finished.root.parent
    config = config_in(folder, f"privacy.ledger={folder}/owner.jsonl")
    before = (finished.release / "run.json").read_bytes()
    record = run(config, registry=toy_registry(), resume=True)
    assert record == RunRecord.read(finished.release)
    assert (finished.release / "run.json").read_bytes() == before
    assert OwnerLedger(folder / "owner.jsonl").total().epsilon == 8.0
    with pytest.raises(StorageError, match="holds a finished run"):
        run(config, registry=toy_registry())


def test_a_finished_run_is_not_passed_off_as_one_with_other_settings(finished: RunFolder):
    folder = finished.root.parent
    config = config_in(folder, f"privacy.ledger={folder}/owner.jsonl", "run.seed=99")
    with pytest.raises(ResumeError, match=r"config\.run\.seed"):
        run(config, registry=toy_registry(), resume=True)


def test_a_corrupt_test_split_is_refused_before_anything_is_charged(tmp_path: Path):
    config = toy_config(tmp_path, [f"data.test={tmp_path}/test.npz"])
    archive = dict(np.load(tmp_path / "test.npz"))
    np.savez(tmp_path / "test.npz", images=archive["images"], labels=archive["labels"] + 99, class_names=CLASS_NAMES)
    with pytest.raises(DataError, match="declared classes"):
        run(config, registry=toy_registry())
    assert not (tmp_path / "run/internal/ledger.jsonl").exists()
    assert not (tmp_path / "run/release").exists()


def test_a_released_model_samples_again(finished: RunFolder):
    for place in (finished.root, finished.release):
        generator, task = load_released(place, toy_registry())
        made = generator.sample(9, seed=3)
        assert made.images.shape == (9, 1, 8, 8)
        assert torch.equal(made.images, generator.sample(9, seed=3).images)
        assert task.info.class_names == CLASS_NAMES
    released = safetensors.torch.load_file(finished.release / "model/weights.safetensors")
    assert torch.equal(released["weight"], generator.state_dict()["weight"])


def test_planning_opens_no_data(tmp_path: Path):
    config = toy_config(tmp_path)
    archive = dict(np.load(tmp_path / "private.npz"))
    np.savez(tmp_path / "private.npz", images=archive["images"], labels=archive["labels"] + 99, class_names=CLASS_NAMES)
    prepared = prepare(config, toy_registry())
    assert prepared.prices[-1].cumulative_epsilon <= 8.0
    with pytest.raises(DataError):
        execute(prepared, registry=toy_registry())


def test_the_plan_ignores_compute_settings(tmp_path: Path):
    plans = [
        prepare(toy_config(tmp_path, overrides), toy_registry()).plan
        for overrides in ([], ["compute.physical_batch=7", "compute.threads=2", "compute.device=cuda"])
    ]
    assert plans[0] == plans[1]


@pytest.fixture
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy, planning for twice its budget."""
    from dpgen.testing import toy

    honest = toy.split_budget
    monkeypatch.setattr(
        toy,
        "split_budget",
        lambda accountant, budget, parts: honest(accountant, replace(budget, epsilon=2 * budget.epsilon), parts),
    )


@pytest.mark.usefixtures("greedy")
def test_a_plan_over_the_budget_writes_and_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = toy_config(tmp_path)
    monkeypatch.setattr(NpzSource, "load", lambda *_, **__: pytest.fail("data was opened"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BudgetExceeded, match="Nothing was read"):
        run(config, registry=toy_registry())
    assert sorted(tmp_path.iterdir()) == before


def corrupt(folder: Path) -> None:
    archive = dict(np.load(folder / "private.npz"))
    images = archive["images"].astype(np.float32) / 255
    images[7, 0, 0] = np.nan
    np.savez(folder / "private.npz", **(archive | {"images": images}))


def test_corrupt_data_is_refused_before_anything_is_charged(tmp_path: Path):
    config = toy_config(tmp_path, [f"privacy.ledger={tmp_path}/owner.jsonl"])
    corrupt(tmp_path)
    with pytest.raises(DataError):
        run(config, registry=toy_registry())
    assert not (tmp_path / "owner.jsonl").exists()
    assert not list((tmp_path / "run").rglob("ledger.jsonl"))
    (tmp_path / "private.npz").unlink()
    run(toy_config(tmp_path, [f"privacy.ledger={tmp_path}/owner.jsonl"]), registry=toy_registry())  # mended: it starts


def test_corrupt_images_may_be_replaced_on_request(tmp_path: Path):
    config = toy_config(tmp_path, ["data.on_corrupt=constant"])
    corrupt(tmp_path)
    assert run(config, registry=toy_registry()).private


def test_the_owners_cap_refuses_and_leaves_the_folder_free(tmp_path: Path):
    cap = [f"privacy.ledger={tmp_path}/owner.jsonl", "privacy.ledger_epsilon=10", "privacy.ledger_delta=0.1"]
    run(toy_config(tmp_path, cap), registry=toy_registry())
    second = [*cap, f"run.output={tmp_path}/second"]
    with pytest.raises(CapExceeded):
        run(toy_config(tmp_path, second), registry=toy_registry())
    assert not list((tmp_path / "second").rglob("*.jsonl"))
    run(toy_config(tmp_path, [*second, "privacy.epsilon=2"]), registry=toy_registry())
    assert OwnerLedger(tmp_path / "owner.jsonl").total().epsilon == 10.0


def test_resuming_refuses_other_settings_and_other_data(tmp_path: Path):
    assert run_until_killed(toy_config(tmp_path), InPhase("refine", 1))
    with pytest.raises(ResumeError, match=r"config\.run\.seed"):
        run(toy_config(tmp_path, ["run.seed=1"]), registry=toy_registry(), resume=True)
    with pytest.raises(ResumeError, match=r"config\.method\.learning_rate"):
        run(toy_config(tmp_path, ["method.learning_rate=0.1"]), registry=toy_registry(), resume=True)
    archive = dict(np.load(tmp_path / "private.npz"))
    archive["images"][5, 0, 0, 0] ^= 1  # one bit of one pixel
    np.savez(tmp_path / "private.npz", **archive)
    with pytest.raises(ResumeError, match="found other data"):
        run(toy_config(tmp_path), registry=toy_registry(), resume=True)
    archive["images"][5, 0, 0, 0] ^= 1
    labels = archive["labels"].copy()
    archive["labels"][5] = (labels[5] + 1) % 3  # one label, and no pixel
    np.savez(tmp_path / "private.npz", **archive)
    with pytest.raises(ResumeError, match="found other data"):
        run(toy_config(tmp_path), registry=toy_registry(), resume=True)
    archive["labels"] = labels
    np.savez(tmp_path / "private.npz", **archive)
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = [f"run.output={tmp_path}/moved", "compute.physical_batch=64"]  # place and speed may change
    assert run(toy_config(tmp_path, moved), registry=toy_registry(), resume=True).private


class _StopInRefine(SilentProgress):
    def track(self, phase: str, total: int) -> AbstractContextManager[Advance]:
        if phase == "refine":
            raise KeyboardInterrupt
        return super().track(phase, total)


def test_what_a_test_double_drew_is_never_stamped_private(tmp_path: Path):
    """Its answers lie in checkpoints: resumed with real noise, they would be released as if they were protected."""
    config = toy_config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(config, registry=toy_registry(), progress=_StopInRefine(), noise=SeededNoise(0))
    with pytest.raises(ResumeError, match="noise"):
        run(config, registry=toy_registry(), resume=True)
    assert not run(config, registry=toy_registry(), resume=True, noise=SeededNoise(0)).private


def test_a_begun_folder_is_not_begun_again(tmp_path: Path):
    config = toy_config(tmp_path)
    assert run_until_killed(config, InPhase("refine", 1))
    with pytest.raises(StorageError, match=r"an unfinished run.*--resume"):
        run(config, registry=toy_registry())


def test_nothing_to_resume_and_foreign_folders_are_refused(tmp_path: Path):
    config = toy_config(tmp_path)
    with pytest.raises(ResumeError, match="Start it without --resume"):
        run(config, registry=toy_registry(), resume=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").touch()
    with pytest.raises(StorageError, match="holds other files"):
        run(config, registry=toy_registry())


def test_a_lost_run_key_is_told(tmp_path: Path):
    config = toy_config(tmp_path)
    assert run_until_killed(config, InPhase("refine", 1))
    (tmp_path / "run/internal/run.key").unlink()
    with pytest.raises(ResumeError, match="what this one charged stays charged"):
        run(config, registry=toy_registry(), resume=True)


def test_two_processes_cannot_run_in_one_folder(tmp_path: Path):
    """Two handles on one lock file exclude each other as two processes do: `flock` belongs to the open file."""
    config = toy_config(tmp_path)
    with FileLock(tmp_path / "run/internal/lock"), pytest.raises(StorageError, match="at work in it"):
        run(config, registry=toy_registry())
    assert run(config, registry=toy_registry()).private


def test_a_test_double_stamps_the_record_not_private(tmp_path: Path):
    record = run(toy_config(tmp_path), registry=toy_registry(), noise=SeededNoise(1))
    assert record.private is False
    assert "NOT PRIVATE" in record.guarantee.caveats[0]
    assert "Not private" in (tmp_path / "run/release/README.md").read_text()


def test_a_person_gets_the_guarantee_of_the_group(tmp_path: Path):
    record = run(toy_config(tmp_path, ["data.unit=person", "data.max_images_per_person=3"]), registry=toy_registry())
    assert record.group is not None
    assert record.group["epsilon"] == pytest.approx(3 * record.guarantee.epsilon_upper)
    assert record.group["delta"] > record.guarantee.delta


def test_a_plan_tells_the_guarantee_of_the_group(tmp_path: Path):
    assert prepare(toy_config(tmp_path), toy_registry()).to_json()["group"] is None
    prepared = prepare(toy_config(tmp_path, ["data.unit=person", "data.max_images_per_person=3"]), toy_registry())
    group = prepared.to_json()["group"]
    assert group["epsilon"] == pytest.approx(3 * prepared.prices[-1].cumulative_epsilon)
    assert group["delta"] > prepared.budget.delta


def test_too_few_images_to_score_are_refused_before_anything_is_charged(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"run\.count.*found 1\. Raise it, or set evaluation\.enabled"):
        run(config_in(tmp_path, "run.count=1"), registry=toy_registry())
    assert not (tmp_path / "run").exists()
    run(config_in(tmp_path, "run.count=1", "evaluation.enabled=false"), registry=toy_registry())


def test_a_place_that_cannot_hold_a_run_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(StorageError, match=r"found a file|cannot be made .*--out"):
            run(toy_config(tmp_path, [f"run.output={tmp_path}/{place}"]), registry=toy_registry())


@pytest.mark.parametrize(
    ("override", "error", "mend"),
    [
        ("method.name=toi", UnknownName, "Did you mean 'toy'"),
        ("method.stepps=3", ConfigError, "Did you mean 'steps'"),
        ("method.steps=0", ConfigError, r"method\.steps"),
        ("privacy.accountant=pvr", UnknownName, "Did you mean 'prv'"),
        ("data.private=digit", UnknownName, "digits"),
        ("compute.device=warp", ConfigError, r"compute\.device"),
    ],
)
def test_errors_tell_the_mend_before_anything_is_opened(tmp_path: Path, override: str, error: type, mend: str):
    config = toy_config(tmp_path, [override])
    with pytest.raises(error, match=mend):
        run(config, registry=toy_registry())
    assert not (tmp_path / "run").exists()


def test_a_missing_number_of_records_is_told(tmp_path: Path):
    config = toy_config(tmp_path)
    undeclared = config.model_copy(update={"data": config.data.model_copy(update={"records": None})})
    with pytest.raises(ConfigError, match=r"Add `records = ...` under \[data\]"):
        prepare(undeclared, toy_registry())


def test_the_internal_folder_is_for_the_owner_alone(finished: RunFolder):
    assert stat.S_IMODE(finished.internal.stat().st_mode) == 0o700


def test_finished_runs_are_announced(tmp_path: Path):
    from dpgen.plugins.hookspecs import hookimpl

    seen: list[RunRecord] = []

    class Observer:
        @hookimpl
        def dpgen_run_finished(self, record: RunRecord) -> None:
            seen.append(record)

    registry = toy_registry()
    registry.register(Observer(), name="observer")
    record = run(toy_config(tmp_path), registry=registry)
    assert seen == [record]


def test_unfitted_toys_do_not_sample():
    with pytest.raises(InvalidValue):
        toy_registry().generator("toy")().sample(1, seed=0)
