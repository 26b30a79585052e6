"""Training a classifier on public or synthetic images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar, final

import torch
from torch import Tensor
from torch.nn import functional

from dpgen import validate
from dpgen.errors import DataError, InvalidValue
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.context import Progress, SilentProgress
from dpgen.mechanisms.training_state import TrainingState
from dpgen.networks.augment import Augmentation
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.inference import to_unit_range

_WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""
_SNAPSHOTS = 5
"""At how many moments of the second half of training `snapshot` is called."""
CHECKPOINT_EVERY: Final = 250

C = TypeVar("C", bound=Classifier)


def train_classifier(
    network: C,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
    generator: torch.Generator,
    batch: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.01,
    label_smoothing: float = 0.05,
    augmentation: Augmentation | None = None,
    snapshot: Callable[[int], None] | None = None,
    progress: Progress | None = None,
    phase: str = "train classifier",
    device: torch.device | str = "cpu",
    checkpoints: Checkpoints | None = None,
) -> C:
    """Train `network` in place by AdamW with one cycle of the learning rate, and return it in evaluation mode.

    Privacy: none. The images must be public or synthetic; nothing is clipped and no noise is added.
    Args: `images` uint8 or float in [0, 1], `[n, channels, height, width]`; `labels` int64 `[n]` in [0, classes);
    `generator` public, decides batches and augmentation: equal generators and weights give equal results on one device.
    `snapshot` is called with the step at five moments of the second half: who chooses among them copies the weights.
    `checkpoints` keep an unfinished training under its `phase`, which goes on from there; not with `snapshot`, which
    would miss the moments before.
    Raises: `DataError` when images and labels do not fit each other or the network; `InvalidValue` on a bad setting.
    """
    validate.count(1, steps=steps, batch=batch)
    validate.positive(learning_rate=learning_rate)
    validate.not_negative(weight_decay=weight_decay)
    validate.probability(label_smoothing=label_smoothing)
    _check(network, images, labels)
    if checkpoints is not None and snapshot is not None:
        raise InvalidValue("expected checkpoints or a snapshot; found both. Take one of them.")
    optimizer = partial(torch.optim.AdamW, lr=learning_rate, weight_decay=weight_decay)
    state, batches = TrainingState(network.to(device).train(), optimizer), _Batches(len(images), batch, generator)
    unfinished, identity = f"{phase}.unfinished", {"images": len(images), "steps": steps, "batch": batch}
    if checkpoints is not None:
        batches.restore(state.continue_from(checkpoints, unfinished, identity))
    moments = _snapshot_steps(steps)
    with (progress or SilentProgress()).track(phase, steps) as advance:
        advance(state.step)
        while state.step < steps:
            rows = batches.draw()
            inputs, targets = to_unit_range(images[rows]).to(device), labels[rows].to(device)
            if augmentation is not None:
                inputs = augmentation(inputs, generator)
            loss = functional.cross_entropy(network(inputs), targets, label_smoothing=label_smoothing)
            gradients = torch.autograd.grad(loss, list(state.trainable.values()))
            named = dict(zip(state.trainable, gradients, strict=True))
            state.descend(named, rate_factor=one_cycle(state.step / steps))
            state.step += 1
            if snapshot is not None and state.step in moments:
                snapshot(state.step)
            if checkpoints is not None and state.step % CHECKPOINT_EVERY == 0 and state.step < steps:
                state.save(checkpoints, unfinished, identity, beside=batches.state())
            advance(1)
    return network.eval()


def one_cycle(progress: float) -> float:
    """Learning-rate factor at `progress` in [0, 1): a linear rise over a fifth, then half a cosine down to 0."""
    if progress < _WARM_UP:
        return 0.04 + 0.96 * progress / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def _snapshot_steps(steps: int) -> frozenset[int]:
    return frozenset(max(1, round(steps * (0.5 + 0.5 * k / _SNAPSHOTS))) for k in range(1, _SNAPSHOTS + 1))


@final
class _Batches:
    """Rows of one batch after another: whole shuffles of the data, the remainder of each joined to the next."""

    def __init__(self, count: int, batch: int, generator: torch.Generator) -> None:
        self._count, self._batch, self._generator = count, batch, generator
        self._waiting = torch.empty(0, dtype=torch.int64)

    def draw(self) -> Tensor:
        while len(self._waiting) < self._batch:
            order = torch.randperm(self._count, generator=self._generator, device=self._generator.device).cpu()
            self._waiting = torch.cat((self._waiting, order))
        rows, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        return rows

    def state(self) -> dict[str, Tensor]:
        """What the next draws come from; all of it is public."""
        return {"generator": self._generator.get_state(), "waiting": self._waiting.clone()}

    def restore(self, saved: Mapping[str, Tensor] | None) -> None:
        if saved is not None:
            self._generator.set_state(saved["generator"].cpu())
            self._waiting = saved["waiting"].cpu()


def _check(network: Classifier, images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != network.channels or len(images) == 0:
        raise DataError(
            f"expected images [n >= 1, {network.channels}, height, width]; found another shape or no image. "
            "Build the classifier for the channels of the data."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise DataError("expected one int64 label per image; found another dtype or length. Give labels [n] int64.")
    if int(labels.min()) < 0 or int(labels.max()) >= network.classes:
        raise DataError(f"labels must lie in [0, {network.classes}); found one outside. Check the class names.")
