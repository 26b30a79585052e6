"""DPGAN, GS-WGAN and DP-VAE from a configuration to a release, tiny."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.config import Config, from_toml
from dpgen.pipeline import run
from dpgen.plugins.registry import default_registry
from dpgen.testing.toy_run import toy_config
from dpgen_plugins.gan import sharded_critics

BASE = """
[privacy]
epsilon = 8.0
relation = "{relation}"
accountant = "rdp"
[data]
private = "{folder}/private.npz"
public = "{folder}/public.npz"
records = 300
[method]
name = "{method}"
{settings}
[compute]
threads = 1
device = "cpu"
[run]
name = "tiny"
output = "{folder}/run"
count = 12
format = "npz"
"""
GAN = """
generator = { latent = 2, width = 2 }
discriminator = { width = 4, halvings = 1 }
pretrain = { steps = 3, batch = 8 }
"""
SETTINGS = {
    "dpgan": f"{GAN}finetune = {{ expected_batch = 20, steps = 30 }}\ngenerator_steps = {{ batch = 6, shown = 2 }}",
    "gs_wgan": f"{GAN}shards = {{ count = 6, per_step = 3, batch = 4, warm_up = 1 }}\n"
    "slopes = { expected_shards = 2, steps = 5, batch = 6 }",
    "dp_vae": "vae = { latent = 3, width = 4, halvings = 1 }\npretrain = { steps = 3, batch = 8 }\n"
    "finetune = { expected_batch = 20, steps = 30, views = 2 }",
}
CHARGES = {"dpgan": ["finetune"], "gs_wgan": ["sharded-critics"], "dp_vae": ["finetune", "latent-moments"]}


def config(folder: Path, method: str, relation: str = "add_or_remove_one") -> Config:
    folder.mkdir(exist_ok=True)
    toy_config(folder)  # writes the made-up images
    text = BASE.format(folder=folder, method=method, settings=SETTINGS[method], relation=relation)
    return from_toml(text, ())


@pytest.mark.parametrize("method", SETTINGS)
def test_a_run_charges_its_plan_and_releases_images(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharded_critics, "CHECKPOINT_EVERY", 2)  # so that five steps leave one to drop
    record = run(config(tmp_path, method, "replace_one"), registry=default_registry())
    assert [charge.label for charge in record.charges] == CHARGES[method]
    assert 7.5 < record.guarantee.epsilon_upper <= 8.0
    assert (tmp_path / "run" / "release" / "samples.png").exists()
    left = [file.name for file in (tmp_path / "run" / "internal").rglob("sharded-critics.unfinished*")]
    assert not left  # the critics know their shards
