"""DP-FETA and FETA-Pro from a configuration to a release, tiny: charges, pictures, kills between phases, resumption."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.config import Config, from_toml
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian, SelfComposed
from dpgen.pipeline import run
from dpgen.pipeline.planning import prepare
from dpgen.record import RunRecord
from dpgen.testing.crash import InPhase, run_until_killed
from dpgen.testing.toy_run import toy_config, toy_registry

BASE = """
[privacy]
epsilon = 8.0
relation = "add_or_remove_one"
accountant = "rdp"
[data]
private = "{folder}/private.npz"
records = 300
[method]
name = "{method}"
network = {{ base = 4, multipliers = [1] }}
central = {{ rounds = 3, expected_batch = 150 }}
warm_up = {{ steps = 4, batch = 8 }}
finetune = {{ expected_batch = 10, steps = 3 }}
sampler = {{ steps = 3 }}
{more}
[compute]
threads = 1
device = "cpu"
[run]
name = "tiny"
output = "{folder}/run"
count = 12
format = "npz"
"""
FREQUENCY = """
frequency = { features = 40, steps = 4, batch = 12, width = 2, samples = 20 }
frequency_warm_up = { steps = 4, batch = 8 }
"""


def config(folder: Path, method: str, *overrides: str) -> Config:
    toy_config(folder)  # writes the made-up images
    more = FREQUENCY if method == "feta_pro" else ""
    return from_toml(BASE.format(folder=folder, method=method, more=more), overrides)


def execute(config: Config, *, resume: bool = False) -> RunRecord:
    return run(config, registry=toy_registry(), resume=resume)


@pytest.fixture(scope="module", params=["dp_feta", "feta_pro"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path, str]:
    folder = tmp_path_factory.mktemp(request.param)
    return execute(config(folder, request.param)), folder / "run" / "release", request.param


def test_a_run_charges_its_plan_and_releases_its_pictures(whole: tuple[RunRecord, Path, str]) -> None:
    record, release, method = whole
    events = {charge.label: charge.event for charge in record.charges}
    assert list(events) == ["central-images", *(["frequency-features"] if method == "feta_pro" else []), "finetune"]
    assert isinstance(events["central-images"], SelfComposed)
    assert events["central-images"].count == 3
    assert isinstance(events.get("frequency-features", Gaussian(1.0)), Gaussian)
    assert 7.5 < record.guarantee.epsilon_upper <= 8.0
    for name in ("central_images.png", *(["frequency_images.png"] if method == "feta_pro" else [])):
        assert (release / name).read_bytes().startswith(b"\x89PNG")


POINTS = [
    ("dp_feta", InPhase("central-images", 2)),
    ("dp_feta", InPhase("warm-up", 2)),
    ("dp_feta", InPhase("finetune", 2)),
    ("feta_pro", InPhase("frequency-features", 1)),
    ("feta_pro", InPhase("auxiliary-generator", 2)),
    ("feta_pro", InPhase("frequency-warm-up", 2)),
]


@pytest.mark.parametrize(("method", "point"), POINTS, ids=lambda value: str(getattr(value, "phase", value)))
def test_killed_in_each_phase_a_run_resumes(method: str, point: InPhase, tmp_path: Path) -> None:
    settings = config(tmp_path, method)
    assert run_until_killed(settings, point)
    kept = tmp_path / "run" / "internal" / "checkpoints" / "central-images.checkpoint"
    assert kept.exists() == (point.phase != "central-images"), "what was released is kept, and asked for once"
    before = kept.read_bytes() if kept.exists() else None
    record = execute(settings, resume=True)
    assert record.charges[0].label == "central-images"
    assert len(record.charges) == (2 if method == "dp_feta" else 3)
    assert before is None or (tmp_path / "run" / "release" / "central_images.png").exists()


@pytest.mark.parametrize("method", ["dp_feta", "feta_pro"])
def test_the_plan_ignores_compute_settings_and_says_what_the_shortcuts_cost(method: str, tmp_path: Path) -> None:
    plans = [
        prepare(config(tmp_path, method, *overrides), toy_registry()).plan
        for overrides in ((), ("compute.physical_batch=7", "compute.threads=2", "run.seed=9"))
    ]
    assert plans[0] == plans[1]
    assert "noise multiplier of DP-SGD from" in plans[0].notes[0]
    assert "average class of 50 images" in plans[0].notes[1]


def test_mode_images_run_too(tmp_path: Path) -> None:
    record = execute(config(tmp_path, "dp_feta", "method.central.kind=mode", "method.central.finish=false"))
    assert [charge.label for charge in record.charges] == ["central-images", "finetune"]


@pytest.mark.parametrize("method", ["dp_feta", "feta_pro"])
def test_refused_before_anything_is_opened(method: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"central\.factor must divide"):
        execute(config(tmp_path, method, "method.central.factor=3"))
    assert not (tmp_path / "run" / "internal" / "ledger.jsonl").exists()
