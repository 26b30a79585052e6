from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dpgen.errors import DataError, InvalidValue, ResumeError
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import Advance, Progress
from dpgen.networks.augment import GENTLE
from dpgen.networks.classifier import ImageClassifier
from dpgen.networks.digest import weights_digest
from dpgen.networks.inference import accuracy
from dpgen.networks.training import one_cycle, train_classifier


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bars(count: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Bytes `[n, 1, 8, 8]` of noise with a bright row (class 0) or a bright column (class 1) at a random place."""
    random = generator(seed)
    images = torch.randint(0, 100, (count, 1, 8, 8), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, 2, (count,), generator=random)
    places = torch.randint(1, 7, (count,), generator=random)
    for image, label, place in zip(images, labels.tolist(), places.tolist(), strict=True):
        image[0].select(label, place).fill_(220)
    return images, labels


class Recorder(Progress):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []
        self.advances: list[int] = []

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        yield self.advances.append
        self.seen.append((phase, total, sum(self.advances)))


def train(steps: int = 60, seed: int = 1, **settings: object) -> ImageClassifier:
    images, labels = bars(300)
    network = ImageClassifier(1, 2, 4, generator=generator(seed))
    return train_classifier(
        network, images, labels, steps=steps, generator=generator(seed), batch=32, **settings  # type: ignore[arg-type]
    )  # fmt: skip


def test_learns_what_can_be_learnt() -> None:
    untrained = ImageClassifier(1, 2, 4, generator=generator(1))
    assert accuracy(untrained, *bars(200, seed=8)) < 0.8
    network = train(40, augmentation=GENTLE)
    assert accuracy(network, *bars(200, seed=8)) > 0.9
    assert not network.training


def test_equal_generators_give_equal_weights() -> None:
    torch.manual_seed(4)
    first = weights_digest(train(10, augmentation=GENTLE))
    torch.manual_seed(5)
    assert weights_digest(train(10, augmentation=GENTLE)) == first
    assert weights_digest(train(10, seed=2, augmentation=GENTLE)) != first


def test_progress_hears_of_every_step() -> None:
    progress = Recorder()
    train(7, progress=progress, phase="semantic classifier")
    assert progress.seen == [("semantic classifier", 7, 7)]


class Killed(Exception):
    pass


class Dying(Progress):
    """Kills the training in its `last` step."""

    def __init__(self, last: int) -> None:
        self._last = last

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        left = self._last

        def advance(steps: int) -> None:
            nonlocal left
            left -= steps
            if left < 0:
                raise Killed

        yield advance


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpgen.networks.training.CHECKPOINT_EVERY", 4)
    whole = weights_digest(train(20, augmentation=GENTLE))
    with pytest.raises(Killed):
        train(20, augmentation=GENTLE, checkpoints=Checkpoints(tmp_path), progress=Dying(13))
    progress = Recorder()
    resumed = train(20, augmentation=GENTLE, checkpoints=Checkpoints(tmp_path), progress=progress)
    assert weights_digest(resumed) == whole
    assert progress.advances[0] == 12  # not from the start again


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpgen.networks.training.CHECKPOINT_EVERY", 4)
    train(10, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(ResumeError, match="steps"):
        train(12, checkpoints=Checkpoints(tmp_path))


def test_snapshots_need_the_whole_training(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="snapshot"):
        train(10, checkpoints=Checkpoints(tmp_path), snapshot=lambda step: None)


def test_a_batch_larger_than_the_data_repeats_it() -> None:
    images, labels = bars(5)
    network = ImageClassifier(1, 2, 4, generator=generator())
    before = weights_digest(network)
    assert weights_digest(train_classifier(network, images, labels, steps=2, batch=32, generator=generator())) != before


def test_one_cycle_rises_then_falls_to_nothing() -> None:
    factors = [one_cycle(step / 100) for step in range(100)]
    peak = factors.index(max(factors))
    assert peak == 20
    assert factors[peak] == pytest.approx(1)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert 0 < factors[-1] < 0.001


@pytest.mark.parametrize(
    "setting", [{"steps": 0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}, {"label_smoothing": 2.0}]
)
def test_refuses_bad_settings(setting: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(setting))):
        train(**{"steps": 1} | setting)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(2, 1, 8, 8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(2, 1, 8, 8), torch.zeros(2)),
        (torch.zeros(2, 1, 8, 8), torch.tensor([0, 77])),
    ],
)
def test_refuses_images_and_labels_that_do_not_fit(images: Tensor, labels: Tensor) -> None:
    with pytest.raises(DataError) as refusal:
        train_classifier(ImageClassifier(1, 2, 4), images, labels, steps=1, generator=generator())
    assert "77" not in str(refusal.value)
