"""A network without gradients, computed as the `[compute]` settings say: in bfloat16, channels-last, compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

import torch
from torch import Tensor, nn

from dpgen.mechanisms.compute import Compute

_log: Final = logging.getLogger("dpgen.diffusion")

Prediction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""As the forward pass of `UNet`."""


def prediction(network: nn.Module, compute: Compute, device: torch.device) -> Prediction:
    """`network`, in place on `device`, computed as `compute` says: the same to rounding. Returns float32."""
    compute.place(network, device)

    def predict(x: Tensor, noise_condition: Tensor, labels: Tensor) -> Tensor:
        if compute.is_channels_last(device):
            x = x.to(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=compute.precision == "bfloat16"):
            predicted: Tensor = network(x, noise_condition, labels)
        return predicted.float()

    return CompiledPrediction(predict) if compute.compile else predict


@final
class CompiledPrediction:
    """`predict` under `torch.compile`; what cannot be compiled here is computed without, and the log says so once."""

    def __init__(self, predict: Prediction, *, backend: str | Callable[..., Any] = "inductor") -> None:
        self._plain = predict
        self._traced: Prediction | None = torch.compile(predict, dynamic=False, backend=backend)

    def __call__(self, x: Tensor, noise_condition: Tensor, labels: Tensor) -> Tensor:
        """As `predict`."""
        if self._traced is not None:
            try:
                return self._traced(x, noise_condition, labels)
            except torch._dynamo.exc.TorchDynamoException as error:
                self._traced = None
                _log.warning("sampling is computed without torch.compile: %s while compiling", type(error).__name__)
        return self._plain(x, noise_condition, labels)
