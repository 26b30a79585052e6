"""A whole run on several processes: one folder, one ledger, one release; resumed on another number of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dpgen.config import Config, to_toml
from dpgen.distributed import World
from dpgen.errors import DpgenError
from dpgen.mechanisms.context import Advance, Progress, SilentProgress
from dpgen.noise import SeededNoise
from dpgen.pipeline import execute, prepare
from dpgen.record import RunRecord
from dpgen.testing.processes import together
from dpgen.testing.toy import toy_images
from dpgen.testing.toy_run import CLASS_NAMES, toy_config, toy_registry

STEPS = 80
KILLED_AT = (30, 60)
"""Steps at which the run on two processes, then the one on one, is killed; both are past a checkpoint."""


def config_in(folder: Path, *overrides: str) -> Config:
    common = [f"privacy.ledger={folder}/owner.jsonl", "run.format=npz", f"method.steps={STEPS}"]
    return toy_config(folder, [*common, *overrides])


class KillsAt(Progress):
    """Kills its process when DP-SGD has done so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if phase == "refine" and done >= self._steps:
                os.kill(os.getpid(), signal.SIGKILL)

        yield advance


def run_in(world: World, folder: str, *, resume: bool = False, kill_at: int | None = None) -> RunRecord:
    """The toy run with seeded noise, so that runs of different folders can be compared."""
    registry = toy_registry()
    return execute(
        prepare(config_in(Path(folder)), registry),
        registry=registry,
        resume=resume,
        noise=SeededNoise(5),
        progress=SilentProgress() if kill_at is None else KillsAt(kill_at),
        world=world,
    )


# --- what runs in each process ------------------------------------------------------------------------------------


def whole(world: World, folder: str) -> tuple[RunRecord, list[float]]:
    record = run_in(world, folder)
    return record, [run_in(world, folder, resume=True).guarantee.epsilon_upper]  # finished: returned as it is


def killed(world: World, folder: str, kill_at: int, resume: bool) -> None:
    run_in(world, folder, resume=resume, kill_at=kill_at)


def resumed(world: World, folder: str) -> RunRecord:
    return run_in(world, folder, resume=True)


def refusals(world: World, folder: str) -> dict[str, tuple[str, str]]:
    """Each refusal as this process sees it: the error's kind, and what it says, or whose error it follows."""
    os.chdir(Path(folder) / f"machine{world.rank}")  # each has files of its own under the same names
    found = {}
    for name, overrides in refused_overrides(Path(folder), world.rank).items():
        registry, config = toy_registry(), config_in(Path(folder), *overrides)
        try:
            prepared = world.attempt(partial(prepare, config, registry))
            execute(prepared, registry=registry, world=world)
        except DpgenError as error:
            found[name] = (type(error).__name__, getattr(error, "kind", None) or str(error))
    return found


def refused_overrides(folder: Path, rank: int) -> dict[str, list[str]]:
    """Where the processes differ, and what the first one refuses for all."""
    cap = [f"privacy.ledger={folder}/capped.jsonl", "privacy.ledger_epsilon=1.0", "privacy.ledger_delta=0.1"]
    return {
        "other settings": [f"run.output={folder}/one", f"run.seed={rank}"],
        "other plan": [f"run.output={folder}/two", f"method.expected_batch={32 + rank}"],
        "other data": [f"run.output={folder}/three", "data.private=other.npz"],
        "corrupt data": [f"run.output={folder}/four", "data.private=corrupt.npz"],
        "no such data": [f"run.output={folder}/five", "data.private=absent.npz"],
        "folder in use": [f"run.output={folder}"],
        "over the cap": [f"run.output={folder}/six", *cap],
    }


# --- the tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, Path]:
    """The run on one process."""
    folder = tmp_path_factory.mktemp("one")
    return run_in(World(), str(folder)), folder


def prepared_folder(folder: Path) -> Path:
    config_in(folder)  # writes the data, once, before several processes look for it
    return folder


def require_the_run_of_one(record: RunRecord, folder: Path, one: tuple[RunRecord, Path]) -> None:
    expected, its_folder = one
    assert (record.plan, record.guarantee, record.charges) == (expected.plan, expected.guarantee, expected.charges)
    assert lines(folder / "run/release/ledger.jsonl") == lines(its_folder / "run/release/ledger.jsonl")
    assert len(lines(folder / "owner.jsonl")) == 2, "a header and one line for the run"
    assert not (folder / "run/internal/run.key").exists()
    assert names(folder / "run/release") == names(its_folder / "run/release")
    assert names(folder / "run/internal") == names(its_folder / "run/internal")
    ours, theirs = (load_file(place / "run/release/model/weights.safetensors") for place in (folder, its_folder))
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6) for name in theirs)
    assert not any(b'"world' in path.read_bytes() for path in (folder / "run/release").rglob("*.json"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_two_processes_make_the_run_of_one(tmp_path: Path, one: tuple[RunRecord, Path]):
    outcomes = together(2, whole, str(prepared_folder(tmp_path)))
    assert [outcome.text for outcome in outcomes] == [None, None]
    records = [outcome.value[0] for outcome in outcomes]
    assert records[0] == records[1]
    assert all(outcome.value[1] == [records[0].guarantee.epsilon_upper] for outcome in outcomes)
    require_the_run_of_one(records[0], tmp_path, one)


def test_a_run_killed_on_two_processes_goes_on_with_one_then_four(tmp_path: Path, one: tuple[RunRecord, Path]):
    folder = str(prepared_folder(tmp_path))
    dead, left = together(2, killed, folder, KILLED_AT[0], False)
    assert dead.kind is None
    assert left.kind == "ProcessLost"
    means = (tmp_path / "run/internal/release.staging/means.json").read_bytes()
    (dead,) = together(1, killed, folder, KILLED_AT[1], True)
    assert (dead.kind, dead.value) == (None, None)
    outcomes = together(4, resumed, folder)
    assert [outcome.text for outcome in outcomes] == [None] * 4
    assert (tmp_path / "run/release/means.json").read_bytes() == means, "a released answer was drawn again"
    require_the_run_of_one(outcomes[0].value, tmp_path, one)


def write_machines(folder: Path) -> None:
    """The files of two machines: `other.npz` differs in one value of one pixel, `corrupt.npz` is so on the second."""
    images, labels = toy_images(300, classes=len(CLASS_NAMES))
    for rank in (0, 1):
        (machine := folder / f"machine{rank}").mkdir()
        others, corrupt = images.copy(), images.astype(np.float32) / 255
        others[7, 0, 0, 0] ^= rank
        corrupt[7, 0, 0, 0] += 2 * rank
        for name, content in {"other": others, "corrupt": corrupt}.items():
            np.savez(machine / f"{name}.npz", images=content, labels=labels, class_names=np.array(CLASS_NAMES))
    (folder / "machine0/absent.npz").write_bytes((folder / "private.npz").read_bytes())


def test_a_refusal_ends_all_processes_before_anything_is_charged(tmp_path: Path):
    write_machines(prepared_folder(tmp_path))
    outcomes = together(2, refusals, str(tmp_path))
    assert [outcome.text for outcome in outcomes] == [None, None]
    first, second = (outcome.value for outcome in outcomes)
    for name, what in {
        "other settings": "settings and plan",
        "other plan": "settings and plan",
        "other data": "private data",
    }.items():
        for kind, text in (first[name], second[name]):
            assert kind == "DistributedError"
            assert f"the same {what} in all 2 processes; found another in process 1" in text
    for name, failed in {"folder in use": "StorageError", "over the cap": "CapExceeded"}.items():
        assert (first[name][0], second[name]) == (failed, ("ProcessLost", failed))
    for name in ("corrupt data", "no such data"):
        assert second[name][0] in ("DataError", "ConfigError")
        assert first[name] == ("ProcessLost", second[name][0])
    assert not (tmp_path / "owner.jsonl").exists(), "the owner's ledger has been charged"
    assert not list(tmp_path.rglob("run.key"))
    assert not list(tmp_path.rglob("settings.json")), "a run has begun"


def test_torchrun_starts_a_run_from_the_command_line(tmp_path: Path):
    """The real thing, with a U-Net of a few hundred weights: one process speaks, one release is written."""
    folder = prepared_folder(tmp_path)
    path = folder / "config.toml"
    text = to_toml(toy_config(folder, ["run.count=6"]))
    path.write_text(text.replace('name = "toy"\nsteps = 40', 'name = "dpdm"'))
    network, finetune = "{base = 4, multipliers = [1]}", "{expected_batch = 8, steps = 2}"
    small = {"network": network, "finetune": finetune, "sampler": "{steps = 2}"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dpgen"]
    overrides = [part for key, value in small.items() for part in ("--set", f"method.{key}={value}")]
    done = subprocess.run(
        [*command, "run", str(path), "--json", *overrides], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["record"]["generator"] == "dpdm"
    assert len(lines(folder / "run/release/ledger.jsonl")) == 3
