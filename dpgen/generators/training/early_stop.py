"""When a training on public images ends: once its loss on images held back has stopped falling. Free, all is public."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

from torch import Tensor

from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms.checkpoints import Checkpoints
from dpgen.mechanisms.training_state import TrainingState


@final
class EarlyStop:
    """The losses on the images held back, by step, and the averaged weights at the lowest of them.

    A loss that is no number counts as the highest. Both are kept under `PHASE.best` for a resumed run, which ends at
    the same step: a look belongs to its step, and only those up to it decide.
    """

    def __init__(
        self, settings: PretrainSettings, loss: Callable[[], float], checkpoints: Checkpoints, phase: str
    ) -> None:
        self._settings, self._loss = settings, loss
        self._checkpoints, self._name = checkpoints, f"{phase}.best"
        self._losses: dict[int, float] = {}
        self._weights: dict[str, Tensor] | None = None
        saved = checkpoints.load(self._name)
        if saved is not None:
            self._losses = {
                int(step): math.inf if loss is None else float(loss) for step, loss in saved.facts["losses"].items()
            }
            self._weights = saved.tensors

    def looked(self, state: TrainingState) -> bool:
        """Look at the loss, which is that of `state.ema`, where it is due. Has it not improved for `patience` looks?"""
        step, settings = state.step, self._settings
        if step == 0 or (step % settings.validation_every and step != settings.steps):
            return False
        if step not in self._losses:
            found = self._loss()
            self._keep(step, found if math.isfinite(found) else math.inf, state)
        seen = sorted(past for past in self._losses if past <= step)
        return len(seen) - 1 - seen.index(self._best(seen)) >= settings.patience

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights at the lowest loss, the earliest of equals."""
        assert self._weights is not None, "a training of at least one step ends with a look"
        return self._weights

    def _best(self, steps: list[int]) -> int:
        return min(steps, key=lambda step: (self._losses[step], step))

    def _keep(self, step: int, loss: float, state: TrainingState) -> None:
        self._losses[step] = loss
        if self._weights is None or self._best(list(self._losses)) == step:
            self._weights = {name: tensor.detach().clone() for name, tensor in state.ema.items()}
        losses = {str(past): found if math.isfinite(found) else None for past, found in self._losses.items()}
        self._checkpoints.save(self._name, self._weights, {"losses": losses})
