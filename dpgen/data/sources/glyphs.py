"""`glyphs`: printed letters, digits and signs with random jitter, the embedded public set of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from dpgen import validate
from dpgen.data.decoding import OnCorrupt
from dpgen.data.info import Shape
from dpgen.data.sources.base import ImageSource, ImageTable
from dpgen.data.sources.glyph_masters import CANVAS, CHARACTERS, GLYPH, Masters, masters
from dpgen.errors import DataError, InvalidValue
from dpgen.mechanisms.context import public_generator

SMALLEST, LARGEST = 8, 64
"""Sides that glyphs can be drawn at, in pixels."""
MOST_JITTER = 4.0
"""The largest factor; glyphs would soon be smaller than nothing."""

_BATCH = 512
_FINE = 32  # glyphs are sampled on at least this many points a side, then averaged

# Jitter at factor 1, uniform. Lengths are shares of the side, except stroke widths: shares of the glyph's longer side.
_SIZE = 0.12
_WIDTH_NARROWER, _WIDTH_WIDER = -0.3, 0.2  # logarithms
_ROTATION = 0.22  # radians
_SHEAR = 0.35
_SHIFT = 0.03
_ELASTIC, _ELASTIC_GRID = 0.02, 4  # standard deviation of a smooth field given on a coarse grid
_THINNER = 0.6  # of half the thinnest stroke, so that no hairline breaks
_BOLDER, _GAP_FILLED = 0.06, 0.5  # at most so much, and at most so much of half the narrowest gap
_STROKES_UP_TO = 1.5  # beyond this factor widths vary no more: hairlines would break and gaps close
_SOFTER = 0.5  # pixels: what jitter may add to half the grey edge of a stroke
_LEGIBLE = 0.5  # pixels: a thinner half stroke would be no more than grey, so the whole outline moves outwards


@final
class Glyphs(ImageSource):
    """74 classes of printed glyphs, white on black, in 21 faces that matplotlib bundles.

    The options are the arguments of `draw_glyphs`.
    """

    name = "glyphs"

    def __init__(self, *, count: int = 20_000, jitter: float = 1.0, seed: int = 0, fill: float | None = None) -> None:
        _check_options(count, jitter, seed, fill)
        self._count, self._jitter, self._seed, self._fill = count, jitter, seed, fill

    def class_names(self) -> tuple[str, ...]:
        """One character each."""
        return tuple(CHARACTERS)

    def nominal_records(self) -> int | None:
        """The count asked for."""
        return self._count

    def native_shape(self) -> Shape | None:
        """None: glyphs are drawn at the shape asked for."""
        return None

    def load(self, shape: Shape, *, on_corrupt: OnCorrupt = "refuse") -> ImageTable:
        """Draw the glyphs."""
        return draw_glyphs(self._count, shape, jitter=self._jitter, seed=self._seed, fill=self._fill)


def _check_options(count: int, jitter: float, seed: int, fill: float | None) -> None:
    validate.count(0, count=count, seed=seed)
    validate.not_negative(jitter=jitter)
    if jitter > MOST_JITTER:
        raise InvalidValue(f"jitter must lie in [0, {MOST_JITTER:g}]; found {jitter!r}. 1.5 is wild already.")
    if fill is not None:
        validate.positive(fill=fill)


def default_fill(shape: Shape) -> float:
    """The longer side of a glyph as a share of the image's shorter side: .95 below 16 px, else MNIST's 20/28."""
    return 0.95 if min(shape.height, shape.width) < 16 else 20 / 28


def draw_glyphs(
    count: int, shape: Shape, *, jitter: float = 1.0, seed: int = 0, fill: float | None = None
) -> ImageTable:
    """`count` jittered glyphs of all classes, as even as possible, in an order that mixes them.

    Args: `jitter` in [0, 4] scales all deformations, 0 gives plain print; `seed` public, equal arguments give equal
    images; `fill` the longer side of a glyph as a share of the image's shorter side, default `default_fill`.
    Raises: `InvalidValue` for an argument out of range, `DataError` when a side lies outside 8 to 64 pixels.
    """
    _check_options(count, jitter, seed, fill)
    if not all(SMALLEST <= side <= LARGEST for side in (shape.height, shape.width)):
        raise DataError(
            f"glyphs are drawn with sides of {SMALLEST} to {LARGEST} px; found {shape.height} x {shape.width}. "
            "Choose another resolution or another public set."
        )
    random = public_generator(seed, "glyphs")
    labels = (torch.arange(count) % len(CHARACTERS))[torch.randperm(count, generator=random)]
    images = torch.empty((count, *shape), dtype=torch.uint8)
    source = masters()
    for start in range(0, count, _BATCH):
        part = labels[start : start + _BATCH]
        style = _Style.draw(source, part, jitter, fill or default_fill(shape), random)
        images[start : start + _BATCH] = _render(source, style, shape)  # one grey channel spreads over all
    return ImageTable(images, labels, tuple(CHARACTERS))


@dataclass(frozen=True)
class _Style:
    """How each glyph of a batch of b is drawn."""

    master: Tensor
    """Int64 `[b]`: which master."""
    matrix: Tensor
    """`[b, 2, 2]`: from the glyph's unit to the image's shorter side, (x, y)."""
    shift: Tensor
    """`[b, 2]`, in the image's shorter side, (x, y)."""
    elastic: Tensor
    """`[b, 2, grid, grid]`, in the image's shorter side."""
    bolder: Tensor
    """`[b]`: how far the outline moves outwards, in the glyph's unit."""
    softer: Tensor
    """`[b]`: what is added to half the width of the grey edge, in pixels."""

    @staticmethod
    def draw(source: Masters, labels: Tensor, jitter: float, fill: float, random: torch.Generator) -> _Style:
        """A random style for each label."""
        n = len(labels)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(n, *shape, generator=random)

        low, high = source.first[labels], source.first[labels + 1]
        master = torch.minimum(low + (torch.rand(n, generator=random) * (high - low)).long(), high - 1)
        size = fill * (1 + jitter * uniform(-_SIZE, _SIZE))
        width = torch.exp(jitter * uniform(_WIDTH_NARROWER, _WIDTH_WIDER))
        thinner = (_THINNER * source.thinnest)[master]
        bolder = (_GAP_FILLED * source.narrowest)[master].clamp(max=_BOLDER)
        position = torch.rand(n, generator=random)
        return _Style(
            master=master,
            matrix=_matrix(size, width, jitter * uniform(-_ROTATION, _ROTATION), jitter * uniform(-_SHEAR, _SHEAR)),
            shift=jitter * uniform(-_SHIFT, _SHIFT, 2),
            elastic=jitter * _ELASTIC * torch.randn(n, 2, _ELASTIC_GRID, _ELASTIC_GRID, generator=random),
            bolder=min(jitter, _STROKES_UP_TO) * (position * (thinner + bolder) - thinner),
            softer=jitter * uniform(0, _SOFTER),
        )


def _matrix(size: Tensor, width: Tensor, rotation: Tensor, shear: Tensor) -> Tensor:
    """Rotation after shear after scaling, `[b, 2, 2]`, acting on (x, y) with y downwards."""
    cosine, sine, zero, one = rotation.cos(), rotation.sin(), torch.zeros_like(size), torch.ones_like(size)
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    slant = torch.stack([one, shear, zero, one], 1).view(-1, 2, 2)
    scale = torch.stack([size * width, zero, zero, size], 1).view(-1, 2, 2)
    return turn @ slant @ scale


def _render(source: Masters, style: _Style, shape: Shape) -> Tensor:
    """The images of a batch, uint8 `[b, 1, height, width]`."""
    side = min(shape.height, shape.width)
    fine = math.ceil(_FINE / side)
    height, width = shape.height * fine, shape.width * fine
    y, x = torch.meshgrid(_centres(height) / fine / side, _centres(width) / fine / side, indexing="ij")
    bent = F.interpolate(style.elastic, size=(height, width), mode="bicubic", align_corners=True)
    page = torch.stack([x, y]) - style.shift[:, :, None, None] - bent  # [b, 2, height, width]
    glyph = torch.einsum("bij,bjhw->bhwi", torch.linalg.inv(style.matrix), page)
    grid = glyph * (2 * GLYPH / CANVAS)  # grid_sample: the canvas reaches from -1 to 1
    distance = F.grid_sample(source.distance[style.master], grid, padding_mode="border", align_corners=False)
    # An edge is a ramp of the distance, in pixels: ink 1/2 on the outline, 0 and 1 `softness` off it.
    pixels_per_unit = side * style.matrix.det().sqrt()
    floor = _LEGIBLE / pixels_per_unit - source.thinnest[style.master]
    softness = 0.5 / fine + style.softer
    scale = pixels_per_unit / (2 * softness)
    ramp = (distance[:, 0] + torch.maximum(style.bolder, floor)[:, None, None]) * scale[:, None, None]
    ink = F.avg_pool2d((ramp + 0.5).clamp(0, 1)[:, None], fine)
    return (ink * 255).round().to(torch.uint8)


def _centres(count: int) -> Tensor:
    """The centres of `count` pixels in a row, in pixels from the middle."""
    return torch.arange(count, dtype=torch.float32) + (1 - count) / 2
