"""How gradients are computed: precision, memory format, compilation. Speed and memory alone; never the law."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, final, get_args

import torch
from torch import nn

from dpgen.errors import InvalidValue

Precision: TypeAlias = Literal["float32", "bfloat16"]
Choice: TypeAlias = bool | Literal["auto"]

PRECISIONS: Final[tuple[str, ...]] = get_args(Precision)


@final
@dataclass(frozen=True, kw_only=True)
class Compute:
    """How the forward and backward pass of DP-SGD are computed.

    No setting enters a plan, an event or a price: whatever the numbers of a gradient, the norm is taken of those very
    numbers and they are scaled and summed in at least float32. Weights, norms, sums, noise, optimizer and average keep
    the precision of the module.

    Args:
        precision: of products and convolutions; "bfloat16" runs the loss under autocast. It halves the time where the
            hardware has such units and costs a little accuracy of every gradient, so it is never chosen unasked.
        channels_last: whether images and convolution weights lie channels-last in memory. "auto": on a CUDA device in
            bfloat16, whose tensor cores want it; nowhere else (slower on the CPU, where the group norm reorders).
        compile: whether loss and backward pass are traced once per shape and compiled by `torch.compile`. What cannot
            be traced is computed as without it, and the log says which part and why. Never chosen unasked: compiling
            takes a minute or more.

    Raises: `InvalidValue` for anything else.
    """

    precision: Precision = "float32"
    channels_last: Choice = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InvalidValue(f"precision must be one of {', '.join(PRECISIONS)}; found {self.precision!r}.")
        if not isinstance(self.channels_last, bool) and self.channels_last != "auto":
            raise InvalidValue(f'channels_last must be true, false or "auto"; found {self.channels_last!r}.')
        if not isinstance(self.compile, bool):
            raise InvalidValue(f"compile must be true or false; found {self.compile!r}.")

    @property
    def eager(self) -> Compute:
        """The same without compilation."""
        return replace(self, compile=False)

    def is_channels_last(self, device: torch.device) -> bool:
        """Whether images lie channels-last on `device`."""
        if isinstance(self.channels_last, bool):
            return self.channels_last
        return device.type == "cuda" and self.precision == "bfloat16"

    def place(self, module: nn.Module, device: torch.device) -> nn.Module:
        """`module` itself, moved to `device`, its four-axis weights in the memory format of the images there."""
        if not self.is_channels_last(device):
            return module.to(device)
        placed: nn.Module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed
