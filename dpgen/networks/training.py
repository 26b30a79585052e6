"""Training a classifier on public or synthetic images."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from dpgen import validate
from dpgen.errors import DataError
from dpgen.mechanisms.context import Progress, SilentProgress
from dpgen.networks.augment import Augmentation
from dpgen.networks.classifier_base import Classifier
from dpgen.networks.inference import accuracy, to_unit_range

_WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""
_SNAPSHOTS = 5
"""How many moments of the second half of training compete when there are validation images."""

C = TypeVar("C", bound=Classifier)
Labelled = tuple[Tensor, Tensor]
"""Images and their labels."""


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
    validation: Labelled | None = None,
    snapshot: Callable[[int], None] | None = None,
    progress: Progress | None = None,
    phase: str = "train classifier",
    device: torch.device | str = "cpu",
) -> C:
    """Train `network` in place by AdamW with one cycle of the learning rate, and return it in evaluation mode.

    Privacy: none. The images must be public or synthetic; nothing is clipped and no noise is added.
    Args: `images` uint8 or float in [0, 1], `[n, channels, height, width]`; `labels` int64 `[n]` in [0, classes);
    `generator` public, decides batches and augmentation: equal generators and weights give equal results on one device.
    `validation` images and labels: of five snapshots from the second half of training the one with the best accuracy
    on them is kept, the latest at a tie. `snapshot` is called with the step at those five moments: who chooses in
    another way copies the weights then.
    Raises: `DataError` when images and labels do not fit each other or the network; `InvalidValue` on a bad setting.
    """
    validate.count(1, steps=steps, batch=batch)
    validate.positive(learning_rate=learning_rate)
    validate.not_negative(weight_decay=weight_decay)
    validate.probability(label_smoothing=label_smoothing)
    for pair in ((images, labels), *((validation,) if validation else ())):
        _check(network, *pair)
    network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=weight_decay)
    moments = _snapshot_steps(steps)
    best = _Best(network, validation, moments)
    batches = _batches(len(images), batch, generator)
    with (progress or SilentProgress()).track(phase, steps) as advance:
        for step in range(steps):
            rows = next(batches)
            inputs, targets = to_unit_range(images[rows]).to(device), labels[rows].to(device)
            if augmentation is not None:
                inputs = augmentation(inputs, generator)
            loss = functional.cross_entropy(network(inputs), targets, label_smoothing=label_smoothing)
            _descend(optimiser, loss, learning_rate * one_cycle(step / steps))
            best.look(step + 1)
            if snapshot is not None and step + 1 in moments:
                snapshot(step + 1)
            advance(1)
    best.restore()
    return network.eval()


def one_cycle(progress: float) -> float:
    """Learning-rate factor at `progress` in [0, 1): a linear rise over a fifth, then half a cosine down to 0."""
    if progress < _WARM_UP:
        return 0.04 + 0.96 * progress / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


class _Best:
    """Remembers the weights of the snapshot that scored best on the validation images."""

    def __init__(self, network: Classifier, validation: Labelled | None, at_steps: frozenset[int]) -> None:
        self._network, self._validation, self._at_steps = network, validation, at_steps
        self._score = -1.0
        self._state: dict[str, Tensor] | None = None

    def look(self, step: int) -> None:
        if self._validation is None or step not in self._at_steps:
            return
        score = accuracy(self._network, *self._validation)
        if score >= self._score:
            self._score, self._state = score, copy.deepcopy(self._network.state_dict())

    def restore(self) -> None:
        if self._state is not None:
            self._network.load_state_dict(self._state)


def _snapshot_steps(steps: int) -> frozenset[int]:
    return frozenset(max(1, round(steps * (0.5 + 0.5 * k / _SNAPSHOTS))) for k in range(1, _SNAPSHOTS + 1))


def _batches(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of one batch after another: whole shuffles of the data, the remainder of each joined to the next."""
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < batch:
            order = torch.randperm(count, generator=generator, device=generator.device).cpu()
            waiting = torch.cat((waiting, order))
        yield waiting[:batch]
        waiting = waiting[batch:]


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, learning_rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()


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
