"""The characters of `glyphs` in every bundled text face, as signed distance fields: what a jitter starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import Tensor

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&*+<=>?@"
"""Digits, letters and twelve signs: 74 classes, in ASCII order within each group."""

TWINS: tuple[frozenset[str], ...] = tuple(
    map(frozenset, ("0Oo", "1lI", "Cc", "Kk", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx", "Zz"))
)
"""Characters of one shape once each is fitted to its box. They stay separate classes; a report may treat them alike."""

FACES = (
    *(
        f"DejaVu{family}{style}"
        for family in ("Sans", "SansMono")
        for style in ("", "-Bold", "-Oblique", "-BoldOblique")
    ),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
"""The 21 text faces that matplotlib bundles, by file name."""

GLYPH = 72
"""The longer side of a glyph's box on its master, in pixels: the unit of length of the distance field."""
CANVAS = 96

# TeX's OT1 encoding has other signs at these places, whatever the face's character map says.
_WRONG = {face: frozenset("<>") for face in ("cmb10", "cmr10", "cmss10")} | {"cmti10": frozenset("<>$")}


@dataclass(frozen=True)
class Masters:
    """One master per character and face that has it.

    `distance` float32 `[masters, 1, CANVAS, CANVAS]`: distance to the outline in units of the glyph's longer side,
    positive on ink. `thinnest` `[masters]`: about half the width of the thinnest strokes; `narrowest` `[masters]`: of
    the narrowest gaps. `first` int64 `[characters + 1]`: character i has the masters `first[i]` to `first[i + 1] - 1`.
    """

    distance: Tensor
    thinnest: Tensor
    narrowest: Tensor
    first: Tensor


def twins(character: str) -> frozenset[str]:
    """The characters of the same shape as `character`, itself included."""
    return next((group for group in TWINS if character in group), frozenset(character))


def font_path(face: str) -> Path:
    """The file of a face that matplotlib bundles."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"


@lru_cache(maxsize=1)
def masters() -> Masters:
    """All masters, rendered once per process."""
    faces = {face: _characters_of(face) for face in FACES if font_path(face).exists()}
    fonts = {face: ImageFont.truetype(font_path(face), GLYPH) for face in faces}
    fields, first = [], [0]
    for character in CHARACTERS:
        fields += [_field(_fitted(character, fonts[face])) for face, has in faces.items() if character in has]
        first.append(len(fields))
    distance, thinnest, narrowest = zip(*fields, strict=True)
    return Masters(
        torch.from_numpy(np.stack(distance))[:, None],
        torch.tensor(thinnest),
        torch.tensor(narrowest),
        torch.tensor(first),
    )


def _characters_of(face: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    mapped = FT2Font(str(font_path(face))).get_charmap()
    return frozenset(c for c in CHARACTERS if ord(c) in mapped) - _WRONG.get(face, frozenset())


def _fitted(character: str, font: ImageFont.FreeTypeFont) -> NDArray[np.float32]:
    """The share of ink `[CANVAS, CANVAS]`, the glyph's box centred and its longer side GLYPH pixels long."""
    page = Image.new("L", (3 * GLYPH, 3 * GLYPH))
    ImageDraw.Draw(page).text((GLYPH, 2 * GLYPH), character, fill=255, font=font, anchor="ls")
    left, top, right, bottom = page.getbbox() or (0, 0, 1, 1)
    zoom = max(right - left, bottom - top) / GLYPH
    half, x, y = CANVAS / 2 * zoom, (left + right) / 2, (top + bottom) / 2
    box = (x - half, y - half, x + half, y + half)
    fitted = page.transform((CANVAS, CANVAS), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC)
    return np.asarray(fitted, dtype=np.float32) / np.float32(255)


def _field(ink: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, float]:
    """The signed distance field of a glyph, and half its thinnest stroke and narrowest gap."""
    on = ink > 0.5
    inside, outside = ndimage.distance_transform_edt(on), ndimage.distance_transform_edt(~on)
    signed = np.where(on, inside - 0.5, 0.5 - outside)  # the outline runs half a pixel beyond the last one inside
    signed = np.where(np.abs(signed) < 1, ink - 0.5, signed)  # on the outline itself the share of ink is finer
    margin = (CANVAS - GLYPH) // 2
    box = np.s_[margin:-margin, margin:-margin]
    return (signed / GLYPH).astype(np.float32), _half_width(inside, 0.1), _half_width(outside[box], 0.3)


def _half_width(distance: NDArray[np.float64], quantile: float) -> float:
    """A low quantile of the distance on its ridge, in units of the glyph's longer side; 1 without a ridge."""
    ridge = distance[(distance == ndimage.maximum_filter(distance, 3)) & (distance > 0)]
    return float(np.quantile(ridge, quantile)) / GLYPH if len(ridge) else 1.0
