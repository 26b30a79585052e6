"""`dpgen pretrain` and the runs that take its weights: no private image is opened; what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dpgen.config import Config, from_toml
from dpgen.errors import ConfigError, DpgenError, PrivacyError, ResumeError, StorageError
from dpgen.generators.pretrained import read_manifest
from dpgen.generators.training import public
from dpgen.ledger import read_ledger
from dpgen.mechanisms import Checkpoints, Progress, SilentProgress
from dpgen.noise import SeededNoise
from dpgen.pipeline import run
from dpgen.pipeline.planning import prepare
from dpgen.pipeline.pretraining import UNFINISHED, pretrain
from dpgen.testing.toy_run import toy_config, toy_registry

BASE = """
[privacy]
epsilon = 8.0
accountant = "rdp"
[data]
private = "{folder}/private.npz"
public = "{folder}/public.npz"
records = 300
[method]
name = "{name}"
network = {{ base = 4, multipliers = [1, 2] }}
pretrain = {{ steps = 4, batch = 8 }}
finetune = {{ expected_batch = 10, steps = 2 }}
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
    "pdp_diffusion": ("pdp_diffusion", ""),
    "dp_ldm": ("dp_ldm", LATENT),
    "privimage": ("privimage", "query = { votes = 1, classifier_steps = 2, classifier_width = 4 }"),
    "privimage, all": ("privimage", 'query = { votes = 1, classifier_steps = 2, classifier_width = 4, scope = "all" }'),
}


def config(folder: Path, method: str, *overrides: str) -> Config:
    if not (folder / "public.npz").exists():
        toy_config(folder)  # writes the made-up images
    name, more = METHODS[method]
    return from_toml(BASE.format(folder=folder, name=name, more=more), overrides)


def taking(folder: Path, method: str) -> list[str]:
    """The settings of a run that takes the checkpoint of `folder`."""
    latent = [f"method.autoencoder.checkpoint={folder}/kept"] if method == "dp_ldm" else []
    return [f"method.pretrain.checkpoint={folder}/kept", *latent]


class Stopped(Exception):
    """Stands for the end of the process."""


class StopsAt(SilentProgress):
    """At the first step of a phase."""

    def __init__(self, phase: str) -> None:
        self._phase = phase

    def track(self, phase: str, total: int):  # type: ignore[no-untyped-def]
        if phase == self._phase:
            raise Stopped
        return super().track(phase, total)


def fitted(settings: Config) -> tuple[Checkpoints, Path]:
    """What a run of `settings`, stopped before it draws images, has kept for itself and to be published."""
    with pytest.raises(Stopped):
        run(settings, registry=toy_registry(), noise=SeededNoise(3), progress=StopsAt("sample"))
    internal = settings.run.folder / "internal"
    return Checkpoints(internal / "checkpoints"), internal / "release.staging"


def tensors(checkpoints: Checkpoints, name: str) -> dict[str, torch.Tensor]:
    found = checkpoints.load(name)
    assert found is not None
    return found.tensors


@pytest.mark.parametrize("method", ["pdp_diffusion", "dp_ldm"])
def test_a_run_that_takes_the_checkpoint_ends_like_one_that_pretrains_itself(method: str, tmp_path: Path) -> None:
    alone, other = tmp_path / "alone", tmp_path / "other"
    for folder in (alone, other):
        folder.mkdir()
    plain, _ = fitted(config(alone, method))
    manifests = pretrain(config(other, method), other / "kept", registry=toy_registry())
    assert [part.part for part in manifests] == (["autoencoder"] if method == "dp_ldm" else []) + ["diffusion"]
    taken, published_in = fitted(config(other, method, *taking(other, method)))
    expected, found = tensors(plain, "run.fit"), tensors(taken, "run.fit")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    published = json.loads((published_in / "pretraining.json").read_text())
    assert published["pretraining"]["SHA-256 of the weights"] == manifests[-1].weights_sha256


def test_no_private_image_is_opened_and_none_need_be_there(tmp_path: Path) -> None:
    settings = config(tmp_path, "pdp_diffusion", "data.size=8", "data.channels=1")
    (tmp_path / "private.npz").unlink()
    (manifest,) = pretrain(settings, tmp_path / "kept", registry=toy_registry())
    assert manifest.settings["shape"] == [1, 8, 8]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["privimage", "privimage, all"])
def test_privimage_starts_from_it_and_what_it_makes_of_it_is_not_public(method: str, tmp_path: Path) -> None:
    pretrain(config(tmp_path, "pdp_diffusion", "method.pretrain.steps=7"), tmp_path / "kept", registry=toy_registry())
    settings = config(tmp_path, method, f"method.pretrain.checkpoint={tmp_path}/kept")
    plain = config(tmp_path, method)
    assert prepare(settings, toy_registry()).plan == prepare(plain, toy_registry()).plan
    trained, start = tensors(fitted(settings)[0], "pretrain"), load_file(tmp_path / "kept" / "diffusion.safetensors")
    moved = max(float((trained[name] - start[name]).abs().max()) for name in start)
    assert 0 < moved < 0.05, "four steps from the checkpoint, not from random weights"
    with pytest.raises(PrivacyError):
        read_manifest(tmp_path / "run", "diffusion")
    with pytest.raises(DpgenError, match=r"found no diffusion\.json"):
        read_manifest(tmp_path / "run" / "internal" / "checkpoints", "diffusion")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.network.base=8"], r"network\.base = 8, found 4"),
        (["method.noise_levels.mean=-1.2"], r"noise_levels\.mean = -1\.2, found -0\.6"),
        (["method.pretrain.steps=5"], r"training\.steps = 5, found 4"),
        (["method.labels.conditional=false"], r"classes = \['any'\], found"),
        (["data.size=4"], r"shape = \[1, 4, 4\], found \[1, 8, 8\]"),
    ],
)
def test_weights_of_other_settings_are_refused_by_the_plan(
    overrides: list[str], message: str, tmp_path: Path, kept: Path
) -> None:
    settings = config(tmp_path, "pdp_diffusion", f"method.pretrain.checkpoint={kept}", *overrides)
    with pytest.raises(ConfigError, match=message):
        prepare(settings, toy_registry())


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    pretrain(config(folder, "pdp_diffusion"), folder / "kept", registry=toy_registry())
    return folder / "kept"


def test_weights_of_other_public_images_are_refused_and_nothing_is_charged(tmp_path: Path, kept: Path) -> None:
    toy_config(tmp_path)  # writes the made-up images
    (tmp_path / "other.npz").write_bytes((tmp_path / "private.npz").read_bytes())
    settings = from_toml(
        BASE.format(folder=tmp_path, name="pdp_diffusion", more=""),
        [f"data.public={tmp_path}/other.npz", f"method.pretrain.checkpoint={kept}"],
    )
    with pytest.raises(ConfigError, match=r"must be of the public images of this run.*found others"):
        run(settings, registry=toy_registry())
    assert read_ledger(tmp_path / "run" / "internal" / "ledger.jsonl").charges == ()


def test_a_private_release_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    run(config(tmp_path, "pdp_diffusion"), registry=toy_registry())
    release = tmp_path / "run" / "release"
    for place in (release.parent, release, release / "model"):
        with pytest.raises(PrivacyError):
            read_manifest(place, "diffusion")
    model = release / "model"
    settings = config(tmp_path, "pdp_diffusion", f"method.pretrain.checkpoint={model}", f"run.output={tmp_path}/again")
    with pytest.raises(PrivacyError, match="expected weights that were trained on public images alone"):
        run(settings, registry=toy_registry())
    assert not (tmp_path / "again").exists()


def test_codes_need_their_own_autoencoder(tmp_path: Path) -> None:
    settings = config(tmp_path, "dp_ldm", f"method.pretrain.checkpoint={tmp_path}/kept")
    with pytest.raises(ConfigError, match=r"found autoencoder\.checkpoint unset"):
        prepare(settings, toy_registry())


def test_stopped_it_goes_on_and_other_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "CHECKPOINT_EVERY", 2)
    settings, folder = config(tmp_path, "dp_ldm"), tmp_path / "kept"
    progress: Progress = StopsAt("pretrain")
    with pytest.raises(Stopped):
        pretrain(settings, folder, registry=toy_registry(), progress=progress)
    with pytest.raises(ResumeError, match="began with"):
        pretrain(config(tmp_path, "dp_ldm", "run.seed=1"), folder, registry=toy_registry())
    resumed = pretrain(settings, folder, registry=toy_registry())
    whole = pretrain(settings, tmp_path / "whole", registry=toy_registry())
    assert [part.weights_sha256 for part in resumed] == [part.weights_sha256 for part in whole]
    assert not (folder / UNFINISHED).exists()
    with pytest.raises(StorageError, match="holds other files"):
        pretrain(settings, folder, registry=toy_registry())


@pytest.mark.parametrize(
    ("method", "overrides", "message"),
    [
        ("dpdm", [], "There are: .*pdp_diffusion.*privimage"),
        ("pdp_diffusion", ["data.public="], "data.public"),
    ],
)
def test_without_a_public_part_there_is_nothing_to_make(
    method: str, overrides: list[str], message: str, tmp_path: Path
) -> None:
    settings = config(tmp_path, "pdp_diffusion")
    changed = settings.model_copy(
        update={"data": settings.data.model_copy(update={"public": None})}
        if overrides
        else {"method": type(settings.method)(name=method)}
    )
    with pytest.raises(ConfigError, match=message):
        pretrain(changed, tmp_path / "kept", registry=toy_registry())
