"""PrivImage and DPDM from a configuration to a release, tiny: the whole line, kills, resumption, post-processing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dpgen.config import Config, from_toml
from dpgen.errors import CalibrationError, ConfigError, InvalidValue
from dpgen.events import DiscreteGaussian, SelfComposed
from dpgen.noise import SeededNoise
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
public = "{folder}/public.npz"
records = 300
[method]
name = "{method}"
network = {{ base = 4, multipliers = [1, 2] }}
finetune = {{ expected_batch = 20, steps = 30, views = 2 }}
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
PRIVIMAGE = """
query = { votes = 1, classifier_steps = 3, classifier_width = 4 }
pretrain = { steps = 4, batch = 8, jitter = 0.5 }
"""


def config(folder: Path, method: str = "privimage", *overrides: str) -> Config:
    toy_config(folder)  # writes the made-up images
    more = PRIVIMAGE if method == "privimage" else ""
    return from_toml(BASE.format(folder=folder, method=method, more=more), overrides)


def execute(config: Config, **options: object) -> RunRecord:
    return run(config, registry=toy_registry(), **options)  # type: ignore[arg-type]


def test_privimage_charges_its_plan_and_releases_its_selection(tmp_path: Path) -> None:
    record = execute(config(tmp_path))
    assert [charge.label for charge in record.charges] == ["semantic-query", "finetune"]
    assert isinstance(record.charges[0].event, DiscreteGaussian)
    assert isinstance(record.charges[1].event, SelfComposed)
    assert 7.5 < record.guarantee.epsilon_upper <= 8.0
    release = tmp_path / "run" / "release"
    chosen = json.loads((release / "selection.json").read_text())["private_class"]
    assert list(chosen) == ["low", "middle", "high"]
    assert (release / "selection.png").read_bytes().startswith(b"\x89PNG")
    assert (release / "samples.png").exists()


def test_privimage_with_one_row_of_votes_for_all_classes(tmp_path: Path) -> None:
    record = execute(config(tmp_path, "privimage", 'method.query.scope="all"', "method.finetune.steps=5"))
    assert [charge.label for charge in record.charges] == ["semantic-query", "finetune"]
    chosen = json.loads((tmp_path / "run" / "release" / "selection.json").read_text())["private_class"]
    assert list(chosen) == ["all classes"]
    assert len(chosen["all classes"]) == 3


def test_dpdm_charges_one_step_sequence(tmp_path: Path) -> None:
    record = execute(config(tmp_path, "dpdm"))
    assert [charge.label for charge in record.charges] == ["finetune"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return execute(config(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize(
    "point",
    [InPhase("semantic classifier"), InPhase("semantic-query", 1), InPhase("pretrain", 2), InPhase("finetune", 28)],
    ids=str,
)
def test_killed_in_each_phase_privimage_resumes(point: InPhase, tmp_path: Path, whole: RunRecord) -> None:
    settings = config(tmp_path)
    assert run_until_killed(settings, point)
    query = tmp_path / "run" / "internal" / "checkpoints" / "query.checkpoint"
    before = query.read_bytes() if query.exists() else None
    record = execute(settings, resume=True)
    assert record.guarantee == whole.guarantee
    assert record.charges == whole.charges
    assert before is None or json.loads((tmp_path / "run" / "release" / "selection.json").read_text())
    assert (before is not None) == (point.phase in ("pretrain", "finetune")), "the query is kept once it is released"


def test_equal_keys_give_equal_weights_whether_killed_or_not(tmp_path: Path) -> None:
    """With the noise repeated, nothing else may differ: public seeds, batches and steps are all addressed."""

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        folder.mkdir()
        execute(config(folder), noise=SeededNoise(3))
        return load_file(next((folder / "run" / "release" / "model").glob("*.safetensors")))

    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_plan_ignores_compute_settings(tmp_path: Path) -> None:
    plans = [
        prepare(config(tmp_path, "privimage", *overrides), toy_registry()).plan
        for overrides in ((), ("compute.physical_batch=7", "compute.threads=2", "run.seed=9"))
    ]
    assert plans[0] == plans[1]


def test_a_plan_says_what_the_query_costs(tmp_path: Path) -> None:
    notes = prepare(config(tmp_path), toy_registry()).plan.notes
    assert "raises the noise multiplier of DP-SGD" in notes[0]


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("method.query.votes=9", InvalidValue, "at most the 3 public classes"),
        ("method.query.classes_per_class=4", InvalidValue, "classes_per_class"),
        ("method.network.multipliers=[1,2,2,2,2]", InvalidValue, "divide by"),
        ("method.network.bse=8", ConfigError, "base"),
        ("privacy.epsilon=1e-9 privacy.delta=1e-12", CalibrationError, "epsilon"),
    ],
)
def test_refused_before_anything_is_opened(override: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        execute(config(tmp_path, "privimage", *override.split()))
    nothing_happened(tmp_path)


def test_privimage_without_a_public_set_is_refused(tmp_path: Path) -> None:
    settings = config(tmp_path)
    without = settings.model_copy(update={"data": settings.data.model_copy(update={"public": None})})
    with pytest.raises(InvalidValue, match=r"Set `data\.public`, or use `dpdm`"):
        execute(without)
    nothing_happened(tmp_path)


def nothing_happened(tmp_path: Path) -> None:
    assert not (tmp_path / "run" / "release").exists()
    assert not (tmp_path / "run" / "internal" / "ledger.jsonl").exists()
