"""A run killed in the middle of DP-SGD goes on under other compute settings, and ends as the same release."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from dpgen.noise import SeededNoise
from dpgen.pipeline import run
from dpgen.pipeline.planning import prepare
from dpgen.testing.crash import InPhase, run_until_killed
from dpgen.testing.toy_run import toy_config, toy_registry

OTHER = ("compute.precision=bfloat16", "compute.channels_last=true", "compute.physical_batch=7")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next((folder / "run" / "release" / "model").glob("*.safetensors")))


def test_a_killed_run_goes_on_in_another_precision(tmp_path: Path) -> None:
    assert run_until_killed(toy_config(tmp_path), InPhase("refine", 1))
    resumed = toy_config(tmp_path, list(OTHER))
    record = run(resumed, registry=toy_registry(), resume=True)
    assert record.private
    assert list(record.charges) == list(prepare(resumed, toy_registry()).plan.charges)
    assert record.guarantee.epsilon_upper <= 8.0


def test_settings_reach_training_and_change_it_by_rounding_alone(tmp_path: Path) -> None:
    found = []
    for name, overrides in (("plain", []), ("other", list(OTHER))):
        (tmp_path / name).mkdir()
        run(toy_config(tmp_path / name, overrides), registry=toy_registry(), noise=SeededNoise(3))
        found.append(weights(tmp_path / name))
    plain, other = found
    gaps = [float((plain[key] - other[key]).abs().max() / plain[key].abs().max()) for key in plain]
    assert 1e-7 < max(gaps) < 0.05
