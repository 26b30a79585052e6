"""Training on public images ends when its validation loss stops falling, keeps its best weights, and resumes alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import nn

from dpgen.errors import InvalidValue
from dpgen.generators.training import public
from dpgen.generators.training.early_stop import EarlyStop
from dpgen.generators.training.public_images import PublicImages
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms import Checkpoints, Progress, RunContext, SilentProgress
from dpgen.mechanisms.context import Advance
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.unet import UNet
from dpgen_plugins.diffusion.pretrain import pretrain
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


def end_of(losses: list[float], *, patience: int, steps: int | None = None) -> tuple[int, float]:
    """The step at which a training with these validation losses ends, and the weight it keeps: that of its best."""
    layer = nn.Linear(1, 1, bias=False)
    state = TrainingState(layer, partial(torch.optim.SGD, lr=0.1))
    settings = PretrainSettings(steps=steps or len(losses), validation_share=0.5, validation_every=1, patience=patience)
    stop = EarlyStop(settings, lambda: losses[state.step - 1], Checkpoints(), "pretrain")
    while not stop.looked(state) and state.step < settings.steps:
        state.step += 1
        state.ema["weight"].fill_(state.step)
    return state.step, float(stop.weights()["weight"])


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3, 2, 1, 2, 2, 0], 2, (5, 3)),
        ([3, 2, 1, 2, 2, 0], 3, (6, 6)),
        ([1, 1, 1], 2, (3, 1)),  # the earliest of equals
        ([math.nan, 2, math.nan, math.inf], 9, (4, 2)),
        ([math.nan, math.nan], 9, (2, 1)),
    ],
)
def test_it_ends_after_so_many_looks_without_a_lower_loss_and_keeps_the_best(losses, patience, expected) -> None:
    assert end_of(losses, patience=patience) == expected


def train(
    checkpoints: Checkpoints, progress: Progress | None = None, **settings: object
) -> tuple[dict[str, torch.Tensor], UNet]:
    torch.manual_seed(0)
    network = UNet(channels=1, classes=2, base=4, multipliers=(1,))
    context = RunContext(checkpoints=checkpoints, progress=progress or SilentProgress())
    chosen = {"steps": 9, "batch": 4, "validation_share": 0.4, "validation_every": 2, "patience": 2} | settings
    weights = pretrain(
        network,
        IMAGES,
        LABELS,
        settings=PretrainSettings.model_validate(chosen),
        noise_levels=NoiseLevelSettings(),
        context=context,
    )
    return weights, network


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stop", [1, 4, 5])
def test_resumed_equals_uninterrupted(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "CHECKPOINT_EVERY", 3)  # not in step with the looks
    whole, checkpoints, through = Checkpoints(), Checkpoints(), []
    expected, _ = train(whole)
    with pytest.raises(Stopped):
        train(checkpoints, StopsAt(stop))
    resumed, _ = train(checkpoints)
    assert equal(resumed, expected)
    for kept in (whole, checkpoints):
        best = kept.load("pretrain.best")
        assert best is not None
        through.append(best.facts["losses"])
    assert through[0] == through[1]
    assert set(through[0]) <= {"2", "4", "6", "8", "9"}


def test_the_images_held_back_are_not_trained_on() -> None:
    images = PublicImages.of(IMAGES, LABELS, torch.device("cpu"))
    seen, held_back = images.split(0.25, torch.Generator().manual_seed(0))
    assert len(held_back) == 3
    assert sorted([*seen.rows.tolist(), *held_back.rows.tolist()]) == list(range(12))
    pixels, labels = held_back.batch(torch.arange(3))
    assert torch.equal((pixels * 255).round().to(torch.uint8), IMAGES[held_back.rows])
    assert torch.equal(labels, LABELS[held_back.rows])


def test_looking_leaves_the_training_as_it_is() -> None:
    looked, without = train(Checkpoints(), patience=100)[1], train(Checkpoints(), patience=100, validation_every=9)[1]
    assert equal(looked.state_dict(), without.state_dict())


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"validation_share.*found 0\.99 of 12"):
        train(Checkpoints(), validation_share=0.99)
