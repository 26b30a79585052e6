"""A class-conditional U-Net for diffusion, in plain torch.

Built only of Conv2d, Linear, GroupNorm, Embedding and functional attention: every trainable parameter sits in a layer
whose per-example gradient is exact, and no layer mixes examples. Source: the DDPM++ network of Song et al. 2021
(arXiv 2011.13456) as refined by Karras et al. 2022 (EDM, arXiv 2206.00364), with an optional pixel-unshuffle stem.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.networks.diffusion_network import DiffusionNetwork

Resample = Literal["down", "up"]


def _group_norm(channels: int) -> nn.GroupNorm:
    """At most 32 groups of at least 4 channels each; the number of groups divides the channels."""
    groups = next(g for g in range(max(1, min(32, channels // 4)), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Start as a no-op, so that a fresh block is the identity (up to its rescaling)."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@final
class SelfAttention(nn.Module):
    """Attention over positions, added to its input. `[n, channels, h, w]` to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 64)
        self.norm = _group_norm(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Rows never see one another: attention runs within each image."""
        n, c, h, w = x.shape
        packed = self.query_key_value(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = packed.transpose(-1, -2).unbind(1)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2).reshape(n, c, h, w)
        mixed: Tensor = (x + self.out(attended)) * 0.5**0.5
        return mixed


@final
class ResidualBlock(nn.Module):
    """Two convolutions, scaled and shifted by the embedding, optionally resampling by two and attending."""

    def __init__(
        self, inside: int, outside: int, embedding: int, *, attention: bool = False, resample: Resample | None = None
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm1, self.conv1 = _group_norm(inside), nn.Conv2d(inside, outside, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outside)
        self.norm2, self.conv2 = _group_norm(outside), _zeroed(nn.Conv2d(outside, outside, 3, padding=1))
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else None
        self.attention = SelfAttention(outside) if attention else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """`[n, inside, h, w]` and `[n, embedding]` to `[n, outside, h', w']`."""
        h = F.silu(self.norm1(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
        h = self.conv1(h)
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(torch.addcmul(shift, self.norm2(h), scale + 1)))
        x = ((x if self.skip is None else self.skip(x)) + h) * 0.5**0.5
        return x if self.attention is None else self.attention(x)


@final
class UNet(DiffusionNetwork):
    """Maps a scaled noisy image, its noise level and its class to a raw prediction of the same shape.

    Args:
        channels: of the image, 1 or 3.
        classes: labels 0..classes-1; index `classes` of the table means "no class".
        base: width of the first level; the levels have `base * multiplier` channels.
        multipliers: one per level; each further level halves the side.
        blocks: residual blocks per level.
        attention: levels (0 is the finest) whose blocks attend; the middle always does.
        embedding: width of the embedding of noise level and class, as a multiple of `base`.
        patch: side of the pixel patches folded into channels before the first convolution (1 folds nothing). Halving
            the side this way makes a step about four times cheaper.
    """

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        base: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention: Sequence[int] = (),
        embedding: int = 4,
        patch: int = 1,
    ) -> None:
        super().__init__()
        validate.count(1, channels=channels, classes=classes, blocks=blocks, embedding=embedding, patch=patch)
        if base < 4 or base % 4:
            raise InvalidValue(f"base must be a multiple of 4, at least 4; found {base}.")
        self.base, self.patch, self.multiple = base, patch, patch * 2 ** (len(multipliers) - 1)
        width = embedding * base
        self.embed1, self.embed2 = nn.Linear(base, width), nn.Linear(width, width)
        self.class_table = nn.Embedding(classes + 1, width)
        self.stem = nn.Conv2d(channels * patch**2, base, 3, padding=1)
        self.down, skips = self._encoder(base, multipliers, blocks, attention, width)
        inside = base * multipliers[-1]
        self.middle = nn.ModuleList(
            [ResidualBlock(inside, inside, width, attention=True), ResidualBlock(inside, inside, width)]
        )
        self.up = self._decoder(base, multipliers, blocks, attention, width, skips)
        self.norm_out = _group_norm(base * multipliers[0])
        self.head = _zeroed(nn.Conv2d(base * multipliers[0], channels * patch**2, 3, padding=1))

    @staticmethod
    def _encoder(
        base: int, multipliers: Sequence[int], blocks: int, attention: Sequence[int], width: int
    ) -> tuple[nn.ModuleList, list[int]]:
        layers, inside, skips = nn.ModuleList(), base, [base]
        for level, multiplier in enumerate(multipliers):
            if level:
                layers.append(ResidualBlock(inside, inside, width, resample="down"))
                skips.append(inside)
            for _ in range(blocks):
                layers.append(ResidualBlock(inside, base * multiplier, width, attention=level in attention))
                inside = base * multiplier
                skips.append(inside)
        return layers, skips

    @staticmethod
    def _decoder(
        base: int, multipliers: Sequence[int], blocks: int, attention: Sequence[int], width: int, skips: list[int]
    ) -> nn.ModuleList:
        layers, inside, remaining = nn.ModuleList(), base * multipliers[-1], list(skips)
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(blocks + 1):
                outside = base * multiplier
                layers.append(ResidualBlock(inside + remaining.pop(), outside, width, attention=level in attention))
                inside = outside
            if level:
                layers.append(ResidualBlock(inside, inside, width, resample="up"))
        return layers

    def forward(self, x: Tensor, noise_condition: Tensor, labels: Tensor) -> Tensor:
        """`x [n, channels, h, w]`, `noise_condition [n]`, `labels [n]` int64; the sides must divide by `multiple`."""
        embedding = self._embedding(noise_condition, labels)
        x = self.stem(F.pixel_unshuffle(x, self.patch))
        skips = [x]
        for block in self.down:
            x = block(x, embedding)
            skips.append(x)
        for block in self.middle:
            x = block(x, embedding)
        for block in self.up:
            x = block(x if block.resample else torch.cat([x, skips.pop()], dim=1), embedding)
        return F.pixel_shuffle(self.head(F.silu(self.norm_out(x))), self.patch)

    def _embedding(self, noise_condition: Tensor, labels: Tensor) -> Tensor:
        half = self.base // 2
        # Sinusoids of geometrically spaced frequencies, Vaswani et al. 2017, section 3.5.
        frequencies = torch.exp(-math.log(1e4) * torch.arange(half, device=noise_condition.device) / half)
        angles = noise_condition[:, None] * frequencies
        sinusoids = torch.cat([angles.cos(), angles.sin()], dim=1).to(self.class_table.weight.dtype)
        return F.silu(self.embed2(F.silu(self.embed1(sinusoids))) + self.class_table(labels))
