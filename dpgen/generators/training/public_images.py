"""Public images in the order and on the device in which a training reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self, final

import torch
from torch import Tensor

from dpgen.errors import InvalidValue

SHARE_OF_DEVICE: Final = 0.5
"""Of the device's free memory, at most so much is taken by images: the network and its passes need the rest."""


@final
@dataclass(frozen=True)
class PublicImages:
    """Decoded images (uint8 `[n, c, h, w]`) and labels, and which `rows` of them are meant."""

    images: Tensor
    labels: Tensor
    rows: Tensor
    device: torch.device

    @classmethod
    def of(cls, images: Tensor, labels: Tensor, device: torch.device) -> Self:
        """All of them; they lie on `device` where they fit beside a network, so that no step waits for a copy."""
        rows = torch.arange(len(images))
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if images.numel() <= SHARE_OF_DEVICE * free:
                images, labels, rows = images.to(device), labels.to(device), rows.to(device)
        return cls(images, labels, rows, device)

    def split(self, share: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Two parts, drawn at random; the second one has `share` of the images, and at least one.

        Raises: `InvalidValue` where one part would be empty.
        """
        count = max(1, round(share * len(self)))
        if count >= len(self):
            raise InvalidValue(
                f"validation_share must leave public images to train on; found {share} of {len(self)}. Lower it."
            )
        order = self.rows[torch.randperm(len(self), generator=generator).to(self.rows.device)]
        return replace(self, rows=order[count:]), replace(self, rows=order[:count])

    def batch(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The images, in [0, 1], and labels at these places (`[b]` in 0 .. `len` - 1), on the training device."""
        rows = self.rows[places.to(self.rows.device)]
        return self.images[rows].to(self.device).float() / 255, self.labels[rows].to(self.device)

    def __len__(self) -> int:
        return len(self.rows)
