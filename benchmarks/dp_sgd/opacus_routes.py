"""Opacus 1.6 as its own `PrivacyEngine` uses it: its wrapped modules, its optimizers' clipping, its freeing.

The loss is summed, not averaged, which spares Opacus a product. Its optimizers wrap an SGD that never steps: what they
do here is to clip, to sum and to free.
"""

from __future__ import annotations

import importlib.util
from typing import Any, final

import torch
from torch import nn

from benchmarks.dp_sgd.cases import Rows, row_losses
from benchmarks.dp_sgd.routes import Found, Route
from dpgen.mechanisms.dp_sgd import RowLoss

ABSENT = None if importlib.util.find_spec("opacus") else "opacus is not installed: its two routes are left out"


@final
class Hooks(Route):
    """`GradSampleModule`: one gradient per row is stored; the views are averaged before Opacus clips and sums.

    The averaging is what DPDM's fork of Opacus does; Opacus itself knows no views.
    """

    name = "Opacus hooks"

    def __init__(self, network: nn.Module, *, views: int, clip_norm: float, loss: RowLoss = row_losses) -> None:
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        super().__init__(network, views=views, clip_norm=clip_norm, loss=loss)
        self.peer = GradSampleModule(self.network, loss_reduction="sum")
        self.optimizer = DPOptimizer(_idle(self.network), **_settings(clip_norm))

    def step(self, rows: Rows) -> Found:
        """Backward, mean over the views, `clip_and_accumulate`, `zero_grad`."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.peer, *rows).sum().backward()
        if self.views > 1:
            for p in self.network.parameters():
                p.grad_sample = p.grad_sample.unflatten(0, (-1, self.views)).mean(1)
        self.optimizer.clip_and_accumulate()
        found = Found({name: p.summed_grad for name, p in self.network.named_parameters()})
        self.optimizer.zero_grad(set_to_none=True)
        return found


@final
class Ghost(Route):
    """`GradSampleModuleFastGradientClipping`, two backward passes. Each ROW is clipped: wrong for several views."""

    name = "Opacus ghost"
    reads_views = False

    def __init__(self, network: nn.Module, *, views: int, clip_norm: float, loss: RowLoss = row_losses) -> None:
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping

        super().__init__(network, views=views, clip_norm=clip_norm, loss=loss)
        self.peer = GradSampleModuleFastGradientClipping(self.network, loss_reduction="sum", max_grad_norm=clip_norm)
        self.optimizer = DPOptimizerFastGradientClipping(_idle(self.network), **_settings(clip_norm))

    def step(self, rows: Rows) -> Found:
        """`DPTensorFastGradientClipping.backward`, which is both passes and the coefficients between them."""
        from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

        self.optimizer.zero_grad(set_to_none=True)
        losses = self.loss(self.peer, *rows)
        DPTensorFastGradientClipping(self.peer, self.optimizer, losses, loss_reduction="sum").backward()
        sums = {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}
        found = Found(sums, self.peer.per_sample_gradient_norms)
        self.optimizer.zero_grad(set_to_none=True)
        return found


def _idle(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.0)


def _settings(clip_norm: float) -> dict[str, Any]:
    return {"noise_multiplier": 0.0, "max_grad_norm": clip_norm, "expected_batch_size": 1, "loss_reduction": "sum"}
