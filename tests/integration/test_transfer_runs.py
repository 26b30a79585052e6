"""PDP-Diffusion, DP-LDM and DP-LoRA from a configuration to a release, tiny: charges, notes, kills, resumption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dpgen.config import Config, from_toml
from dpgen.errors import DpgenError, InvalidValue
from dpgen.generators.base import Task
from dpgen.mechanisms import Checkpoints
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
name = "{name}"
network = {{ base = 4, multipliers = [1, 2] }}
pretrain = {{ steps = 4, batch = 8, jitter = 0.5 }}
finetune = {{ expected_batch = 10, steps = 6, views = 2 }}
sampler = {{ steps = 2 }}
{more}
[compute]
threads = 1
device = "cpu"
[run]
name = "tiny"
output = "{folder}/run"
count = 6
format = "npz"
"""
LATENT = 'space = "latent"\nautoencoder = { steps = 3, batch = 8, width = 4, codes = 2 }'
METHODS = {
    "pdp_diffusion": ("pdp_diffusion", 'labels = { conditional = false, start = "first" }'),
    "dp_ldm in pixels": ("dp_ldm", ""),
    "dp_ldm": ("dp_ldm", LATENT),
    "dp_lora": ("dp_lora", "adapters = { rank = 2 }"),
    "dp_lora in latents": ("dp_lora", LATENT + '\nadapters = { rank = 2, targets = ["*"] }'),
}


def config(folder: Path, method: str, *overrides: str) -> Config:
    toy_config(folder)  # writes the made-up images
    name, more = METHODS[method]
    return from_toml(BASE.format(folder=folder, name=name, more=more), overrides)


def execute(config: Config, **options: object) -> RunRecord:
    return run(config, registry=toy_registry(), **options)  # type: ignore[arg-type]


def released(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next((folder / "run" / "release" / "model").glob("*.safetensors")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, RunRecord]]:
    """Each method's run in one go, with the noise repeated."""
    folders = {method: tmp_path_factory.mktemp("whole") for method in METHODS}
    return {method: (f, execute(config(f, method), noise=SeededNoise(3))) for method, f in folders.items()}


@pytest.mark.parametrize("method", METHODS)
def test_one_charge_and_a_release_that_can_be_drawn_from_again(
    method: str, whole: dict[str, tuple[Path, RunRecord]]
) -> None:
    folder, record = whole[method]
    assert [charge.label for charge in record.charges] == ["finetune"]
    assert 7.5 < record.guarantee.epsilon_upper <= 8.0
    state, prepared = released(folder), prepare(config(folder, method), toy_registry())
    assert not any(part in name for name in state for part in (".a.", ".b.", ".layer.")), "adapters are merged"
    assert any(name.startswith("space.") for name in state) == ("latent" in METHODS[method][1])
    generator = prepared.generator
    generator.load_state_dict(state, Task(prepared.task.info, prepared.task.public_info, 6))
    drawn = generator.sample(4, seed=1)
    assert torch.equal(drawn.images, generator.sample(4, seed=1).images)


@pytest.mark.parametrize(
    ("method", "point"),
    [
        ("dp_ldm", InPhase("autoencoder", 2)),
        ("dp_ldm", InPhase("finetune", 1)),
        ("dp_lora", InPhase("finetune", 5)),
        ("pdp_diffusion", InPhase("pretrain", 2)),
    ],
    ids=str,
)
def test_killed_in_a_phase_and_resumed(
    method: str, point: InPhase, tmp_path: Path, whole: dict[str, tuple[Path, RunRecord]]
) -> None:
    settings = config(tmp_path, method)
    assert run_until_killed(settings, point)
    record = execute(settings, resume=True)
    assert record.charges == whole[method][1].charges
    assert record.guarantee.epsilon_upper == whole[method][1].guarantee.epsilon_upper


def test_frozen_parts_are_released_as_they_were_pretrained(whole: dict[str, tuple[Path, RunRecord]]) -> None:
    folder, _ = whole["dp_ldm"]
    kept = Checkpoints(folder / "run" / "internal" / "checkpoints")
    pretrained, autoencoder = kept.load("pretrain"), kept.load("autoencoder")
    assert pretrained is not None
    assert autoencoder is not None
    state = released(folder)
    assert all(torch.equal(state[f"space.{name}"], tensor) for name, tensor in autoencoder.tensors.items())
    moved = {name for name, tensor in pretrained.tensors.items() if not torch.equal(state[name], tensor)}
    trained = ("class_table", "embed1", "embed2", "stem")
    assert moved
    assert all(name.startswith(trained) or ".attention." in name for name in moved)
    assert not any(name.startswith("space.") for name in moved)


def test_a_plan_says_what_is_free_and_what_is_trained(tmp_path: Path) -> None:
    notes = {method: prepare(config(tmp_path, method), toy_registry()).plan.notes for method in METHODS}
    assert all("costs no privacy" in free for free, _ in notes.values())
    assert "(100.0 %)" in notes["pdp_diffusion"][1]
    shares = {method: float(share.rpartition("(")[2].split(" %")[0]) for method, (_, share) in notes.items()}
    assert 0 < shares["dp_ldm in pixels"] < 70
    assert 0 < shares["dp_lora"] < 50


@pytest.mark.parametrize(
    ("method", "override", "message"),
    [
        ("dp_ldm", 'method.trained=["atention"]', r"trained must name parts.*There are: embed1"),
        ("dp_lora", 'method.adapters.targets=["to_q"]', r"adapters\.targets must name parts"),
        ("dp_ldm", "method.autoencoder.halvings=4", r"autoencoder\.halvings"),
        ("pdp_diffusion", "method.network.multipliers=[1,2,2,2,2]", "divide by"),
        ("dp_lora", "method.adapters.rank=0", "rank"),
    ],
)
def test_refused_before_anything_is_opened(method: str, override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DpgenError, match=message):
        execute(config(tmp_path, method, override))
    assert not (tmp_path / "run" / "internal" / "ledger.jsonl").exists()


@pytest.mark.parametrize("method", ["pdp_diffusion", "dp_ldm", "dp_lora"])
def test_without_a_public_set_it_is_refused(method: str, tmp_path: Path) -> None:
    settings = config(tmp_path, method)
    without = settings.model_copy(update={"data": settings.data.model_copy(update={"public": None})})
    with pytest.raises(InvalidValue, match=f"{method} needs a public data set"):
        execute(without)
