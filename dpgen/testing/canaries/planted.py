"""Private images that can be recognised wherever they turn up: by number, names, texts and pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dpgen import validate

COUNT: Final = 7_919
"""A prime that nothing public about a run has any reason to equal."""

SIDE: Final = 8


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """What must not be found: the true number of records, texts, and blocks of pixels uint8 `[n, height, width]`."""

    count: int
    texts: tuple[str, ...]
    blocks: NDArray[np.uint8]


def plant(folder: Path, *, class_names: tuple[str, ...], count: int = COUNT) -> Canaries:
    """Write `count` made-up grey images, 8 x 8, into one folder a class, and say what to look for.

    Every file name and the text chunk of every file hold a canary; the first image of each class holds a block of
    random pixels. The images lie at the far ends: black, white, and all alike but for the blocks.
    """
    validate.count(len(class_names), count=count)
    blocks = np.random.default_rng(COUNT).integers(0, 256, (len(class_names), SIDE, SIDE), dtype=np.uint8)
    name, text = "wardpatientfile", "wardpatientlabel"
    note = PngInfo()
    note.add_text("label", text)
    for index in range(count):
        kind = index % len(class_names)
        pixels = blocks[kind] if index < len(class_names) else np.full((SIDE, SIDE), 255 * (index % 2), dtype=np.uint8)
        path = folder / class_names[kind] / f"{name}-{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, pnginfo=note, compress_level=0)
    return Canaries(count=count, texts=(name, text), blocks=blocks)
