"""A loss under `torch.compile`, per-example leaves included: traced once per shape, then reused in every pass."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from dpgen.mechanisms.dp_sgd.gradients import RowLoss
from dpgen.mechanisms.dp_sgd.routes import Route, gradient_routes

_log: Final = logging.getLogger("dpgen.mechanisms")

_BACKWARD_AT_ONCE: Final = "force_non_lazy_backward_lowering"
"""A private switch of torch, which not every version has."""


@final
class CompiledLoss:
    """`loss`, its forward and backward pass compiled for the module that `clipped_gradient_sum` has routed.

    The leaves are inputs of the compiled program like weights and rows, so it serves every later pass of the same
    shapes, and autograd takes each example's gradient from it as from any function. It computes what `loss` computes,
    in another order: equal to rounding.

    `given_up` says why nothing (more) is compiled: a part of `module` without a rule, or a loss that cannot be traced
    or compiled on this machine. Then `loss` itself is computed, which is exact as well, and the log says so once.

    Args: `module` as it will be trained; `backend` as in `torch.compile`.
    """

    def __init__(self, loss: RowLoss, module: nn.Module, *, backend: str | Callable[..., Any] = "inductor") -> None:
        def rows(module: nn.Module, *inputs: Tensor) -> Tensor:
            return loss(module, *inputs)

        rows.__code__ = rows.__code__.replace()  # torch keeps programs with the code: each loss has a store of its own
        self._loss = loss
        # fullgraph: compiled whole or not at all. dynamic=False: sizes are constants; rules choose kernels by them.
        self._traced = torch.compile(rows, fullgraph=True, dynamic=False, backend=backend)
        self.given_up: str | None = None
        if not hasattr(torch._functorch.config, _BACKWARD_AT_ONCE):
            self._give_up(f"torch {torch.__version__} compiles the backward pass too late to notice a failure")
        elif obstacles := _obstacles(module):
            self._give_up(f"without a rule for {obstacles}")

    def __call__(self, module: nn.Module, *inputs: Tensor) -> Tensor:
        """One loss per row."""
        if self.given_up is None:
            try:
                # The backward pass is compiled here too, not when it is first run: a failure must show in this `try`.
                with torch._functorch.config.patch({_BACKWARD_AT_ONCE: True}):
                    losses: Tensor = self._traced(module, *inputs)
                return losses
            except torch._dynamo.exc.TorchDynamoException as error:  # its text can quote values, its name cannot
                self._give_up(f"{type(error).__name__} while compiling; TORCH_LOGS=+dynamo says more")
        return self._loss(module, *inputs)

    def _give_up(self, reason: str) -> None:
        self.given_up = reason
        _log.warning("a loss is computed without torch.compile: %s", reason)


def _obstacles(module: nn.Module) -> str:
    """The parts that take the way of `torch.func` or a loop, which no whole program can be traced through."""
    names = (name for name, route in gradient_routes(module).items() if route is not Route.RULE)
    return ", ".join(f"{name or 'the module itself'} ({type(module.get_submodule(name)).__name__})" for name in names)
