"""Pretraining that is stopped and resumed gives, bit for bit, the weights of one that was not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from dpgen.generators.training import public
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms import Checkpoints, Progress, RunContext, SilentProgress
from dpgen.mechanisms.context import Advance
from dpgen.networks.unet import UNet
from dpgen_plugins.diffusion.pretrain import PHASE, pretrain
from dpgen_plugins.diffusion.settings import NoiseLevelSettings

IMAGES = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 2


class Stopped(Exception):
    """Stands for the end of the process."""


class StopsAt(Progress):
    def __init__(self, step: int) -> None:
        self.step = step

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if done >= self.step:
                raise Stopped

        yield advance


def train(checkpoints: Checkpoints, progress: Progress, *, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = UNet(channels=1, classes=2, base=4, multipliers=(1,))
    context = RunContext(checkpoints=checkpoints, progress=progress, seed=seed)
    settings = PretrainSettings(steps=7, batch=4, jitter=0.5)
    return pretrain(network, IMAGES, LABELS, settings=settings, noise_levels=NoiseLevelSettings(), context=context)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "CHECKPOINT_EVERY", 2)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_resumed_equals_uninterrupted(stop: int) -> None:
    whole, checkpoints = train(Checkpoints(), SilentProgress()), Checkpoints()
    with pytest.raises(Stopped):
        train(checkpoints, StopsAt(stop))
    saved = checkpoints.load(f"{PHASE}.unfinished")
    assert (saved.facts["step"] if saved else 0) == (stop - 1) // 2 * 2
    resumed = train(checkpoints, SilentProgress())
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_another_seed_gives_other_weights() -> None:
    first, second = train(Checkpoints(), SilentProgress()), train(Checkpoints(), SilentProgress(), seed=1)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_two_trainings_of_one_run_do_not_share_draws_or_checkpoints() -> None:
    context = RunContext(checkpoints=Checkpoints(), progress=SilentProgress())
    settings = PretrainSettings(steps=5, batch=4)

    def step_by_step(phase: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = UNet(channels=1, classes=2, base=4, multipliers=(1,))
        return pretrain(
            network, IMAGES, LABELS, settings=settings, noise_levels=NoiseLevelSettings(), context=context, phase=phase
        )

    first = step_by_step("pretrain")
    assert context.checkpoints.load("pretrain.unfinished") is not None
    second = step_by_step("warm-up")
    assert any(not torch.equal(first[name], second[name]) for name in first)
