"""Kernel methods and Private Evolution from a configuration to a release, tiny and with public data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpgen.config import Config, from_toml
from dpgen.pipeline import run
from dpgen.plugins.registry import Registry
from dpgen.record import RunRecord
from dpgen.testing.toy_run import toy_config
from dpgen.verification import verify

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
KERNEL = """
network = { width = 2, latent = 2 }
matching = { steps = 3, batch = 6 }
pretrain = { steps = 2, batch = 6, labels = "names" }
"""
NETWORK = "public_network = { steps = 2, width = 2 }\n"
SETTINGS = {
    "dp_merf": KERNEL + NETWORK + 'fourier = { space = "both", features = 40 }',
    "dp_ntk": KERNEL + "tangent = { hidden = [3] }",
    "dp_kernel": KERNEL + NETWORK + 'kernel = { space = "deep", points = 9 }',
    "pe": "population = 6\ndegrees = [0.5, 0.1]\nvoting = { lookahead = 1, feature_steps = 2 }",
}
LABELS = {"pe": ["votes-1", "votes-2"]}


def config(folder: Path, method: str, *overrides: str, relation: str = "add_or_remove_one") -> Config:
    toy_config(folder)  # writes the made-up images
    text = BASE.format(folder=folder, method=method, settings=SETTINGS[method], relation=relation)
    return from_toml(text, overrides)


def execute(config: Config) -> RunRecord:
    return run(config, registry=Registry.installed(only=["builtin", "kernel", "evolution"]))


@pytest.mark.parametrize("method", SETTINGS)
def test_a_run_charges_its_plan_and_another_accountant_agrees(method: str, tmp_path: Path) -> None:
    record, release = execute(config(tmp_path, method)), tmp_path / "run" / "release"
    assert [charge.label for charge in record.charges] == LABELS.get(method, ["mean-embedding"])
    assert 7.5 < record.guarantee.epsilon_upper <= 8.0
    assert verify(tmp_path / "run").passed
    (images,) = release.rglob("*.npz")
    with np.load(images) as made:
        assert made["images"].shape == (12, 8, 8)
        assert sorted(made["labels"].tolist()) == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("method", ["dp_ntk", "pe"])
def test_a_run_under_the_other_relation(method: str, tmp_path: Path) -> None:
    record = execute(config(tmp_path, method, relation="replace_one"))
    assert record.guarantee.relation == "replace_one"
    assert record.guarantee.epsilon_upper <= 8.0


@pytest.mark.parametrize("method", SETTINGS)
def test_labels_in_counted_shares_are_a_charge_beside(method: str, tmp_path: Path) -> None:
    record = execute(config(tmp_path, method, "labels.prior=counted"))
    assert "class-counts" in [charge.label for charge in record.charges]
    assert len(record.charges) == 1 + len(LABELS.get(method, ["mean-embedding"]))
    assert record.guarantee.epsilon_upper <= 8.0
