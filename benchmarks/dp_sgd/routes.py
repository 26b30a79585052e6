"""The routes to a clipped sum, behind one shape; each computes forward, loss and backward, none the noise or optimizer.

`non-private` is the ordinary gradient of the mean loss, the price that the others are compared with. `dpgen` is
`clipped_gradient_sum`. `torch.func` maps the gradient of the whole model over the examples, an example's views inside.
The two of Opacus are in `opacus_routes`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from benchmarks.dp_sgd.cases import Rows, row_losses
from dpgen.mechanisms.dp_sgd import RowLoss, clipped_gradient_sum


@dataclass(frozen=True)
class Found:
    """What a step leaves behind: `sum` by parameter name, and the examples' `norms` where the route says them."""

    sum: dict[str, Tensor]
    norms: Tensor | None = None


class Route(ABC):
    """One way to compute a step of `views` rows an example, on its own copy of the network."""

    name: str
    reads_views = True
    """Does the work depend on the number of views? Where not, one timing serves them all."""

    def __init__(self, network: nn.Module, *, views: int, clip_norm: float, loss: RowLoss = row_losses) -> None:
        self.network, self.views, self.clip_norm, self.loss = copy.deepcopy(network), views, clip_norm, loss

    @abstractmethod
    def step(self, rows: Rows) -> Found:
        """Gradients of one batch. Nothing of it stays allocated once the result is dropped."""


@final
class NonPrivate(Route):
    """Ordinary training."""

    name = "non-private"
    reads_views = False

    def step(self, rows: Rows) -> Found:
        """The gradient of the mean loss."""
        self.network.zero_grad(set_to_none=True)
        self.loss(self.network, *rows).mean().backward()
        found = {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}
        self.network.zero_grad(set_to_none=True)
        return Found(found)


@final
class Ours(Route):
    """`dpgen.mechanisms.dp_sgd.clipped_gradient_sum`."""

    name = "dpgen"

    def step(self, rows: Rows) -> Found:
        """The clipped sum."""
        found = clipped_gradient_sum(self.network, self.loss, rows, views=self.views, clip_norm=self.clip_norm)
        return Found(found.sum, found.norms)


@final
class Mapped(Route):
    """`torch.func.vmap(grad(...))` over the examples."""

    name = "torch.func"

    def __init__(self, network: nn.Module, *, views: int, clip_norm: float, loss: RowLoss = row_losses) -> None:
        super().__init__(network, views=views, clip_norm=clip_norm, loss=loss)
        self.parameters = {name: p.detach() for name, p in self.network.named_parameters()}
        self.gradients = torch.func.vmap(torch.func.grad(self._mean_loss), in_dims=(None, 0, 0, 0))

    def _mean_loss(self, parameters: dict[str, Tensor], *rows: Tensor) -> Tensor:
        called = _Functional(self.network, parameters)
        return self.loss(called, *rows).mean()

    def step(self, rows: Rows) -> Found:
        """All per-example gradients at once, then norms and the weighted sum."""
        gradients = self.gradients(self.parameters, *(tensor.unflatten(0, (-1, self.views)) for tensor in rows))
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        factors = (self.clip_norm / norms).clamp(max=1.0)
        return Found({name: torch.einsum("i,i...", factors, g) for name, g in gradients.items()}, norms)


class _Functional(nn.Module):
    """A network that is called with other parameters; not registered, so that it has none of its own."""

    def __init__(self, network: nn.Module, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self._call = lambda *inputs: torch.func.functional_call(network, parameters, inputs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's output."""
        found: Tensor = self._call(*inputs)
        return found
