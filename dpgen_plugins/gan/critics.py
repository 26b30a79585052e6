"""Critics of one shape, one for each shard, trained side by side: what one learns never reaches another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from dpgen.errors import InvalidValue

SLOPE_PENALTY: Final = 10.0
DRIFT_PENALTY: Final = 1e-3
_FIRST_DECAY: Final = 0.5
_SECOND_DECAY: Final = 0.9
_STABILITY: Final = 1e-8
_NO_SLOPE: Final = 1e-12
"""Under the root of a squared slope, whose derivative at 0 would be infinite."""


@final
class Critics:
    """As many copies of `critic` as there are shards, and Adam for each. All start alike, from public weights.

    Everything in here but its starting weights is private: it is never released.

    Raises: `InvalidValue` for a critic with buffers, which could remember what no gradient bounds.
    """

    def __init__(self, critic: nn.Module, shards: int, *, learning_rate: float) -> None:
        if any(True for _ in critic.buffers()):
            raise InvalidValue("a critic must have no buffers; found some. Use group norm instead of batch norm.")
        self._critic, self._learning_rate = critic, learning_rate
        weights = {name: p.detach() for name, p in critic.named_parameters()}
        self._weights = {name: p.expand(shards, *p.shape).clone() for name, p in weights.items()}
        self._first = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        self._second = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        self._updates = torch.zeros(shards, dtype=torch.int64, device=next(critic.parameters()).device)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state, by name."""
        kinds = {"weights": self._weights, "first": self._first, "second": self._second}
        found = {f"{kind}/{name}": t for kind, part in kinds.items() for name, t in part.items()}
        return found | {"updates": self._updates}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])

    def learn(
        self, shards: Tensor, images: Tensor, labels: Tensor, generated: Tensor, mix: Tensor, filled: Tensor
    ) -> None:
        """One step of Adam for each of `shards`, on its own rows: `[shards, rows, ...]` each.

        Shards that are not `filled` are computed like the others and then left as they were: how many have a record
        must not change the shape, and with it the rounding, of what another one learns.

        Source of the loss: Gulrajani et al. 2017 (arXiv 1704.00028), equation 3, with the drift term of Karras et al.
        2018 (arXiv 1710.10196); of Adam: Kingma, Ba 2015 (arXiv 1412.6980), algorithm 1.
        """
        before = self._of(shards)
        gradients = vmap(grad(self._loss))(before, images, labels, generated, mix)
        self._updates[shards] += 1
        for name, gradient in gradients.items():
            ones = [1] * (gradient.ndim - 1)
            count, kept = self._updates[shards].view(-1, *ones), filled.view(-1, *ones)
            first = self._first[name][shards].lerp(gradient, 1 - _FIRST_DECAY)
            second = self._second[name][shards].lerp(gradient.square(), 1 - _SECOND_DECAY)
            self._first[name][shards], self._second[name][shards] = first, second
            root = (second / (1 - _SECOND_DECAY**count)).sqrt() + _STABILITY
            after = before[name] - self._learning_rate * first / (1 - _FIRST_DECAY**count) / root
            self._weights[name][shards] = torch.where(kept, after, before[name])

    def slopes(self, shards: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """How the score of each image grows with its pixels, by each of `shards`: `[shards, *images.shape]`."""
        slopes: Tensor = vmap(self._slope, in_dims=(0, None, None))(self._of(shards), images, labels)
        return slopes

    def _of(self, shards: Tensor) -> dict[str, Tensor]:
        return {name: w[shards] for name, w in self._weights.items()}

    def _slope(self, weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = grad(lambda x: self._score(weights, x, labels).sum())(images)
        return found

    def _score(self, weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        score: Tensor = functional_call(self._critic, weights, (images, labels))
        return score

    def _loss(
        self, weights: dict[str, Tensor], images: Tensor, labels: Tensor, generated: Tensor, mix: Tensor
    ) -> Tensor:
        real, fake = self._score(weights, images, labels), self._score(weights, generated, labels)
        between = generated + mix.view(-1, 1, 1, 1) * (images - generated)
        steepness = (self._slope(weights, between, labels).square().flatten(1).sum(1) + _NO_SLOPE).sqrt()
        penalties = SLOPE_PENALTY * (steepness - 1).square() + DRIFT_PENALTY * real.square()
        return (fake - real + penalties).mean()
