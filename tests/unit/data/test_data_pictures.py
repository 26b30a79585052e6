"""PNG files and contact sheets."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from dpgen.data.writing import contact_sheet, eight_bit, png_bytes, rows_by_class
from dpgen.errors import DataError, InvalidValue


def opened(content):
    return np.asarray(Image.open(BytesIO(content)))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless(channels):
    image = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(1))
    pixels = opened(png_bytes(image))
    assert np.array_equal(np.atleast_3d(pixels).transpose(2, 0, 1), eight_bit(image).numpy())


@pytest.mark.parametrize(
    "images", [torch.full((1, 1, 2, 2), 1.1), torch.full((1,), float("nan")), torch.ones(1).long()]
)
def test_only_images_become_eight_bit(images):
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        eight_bit(images)


@pytest.mark.parametrize(("side", "cell"), [(8, 48), (28, 56), (32, 64), (64, 64)])
def test_sheet_enlarges_small_images_and_leaves_gaps(side, cell):
    sheet = opened(contact_sheet(torch.zeros(20, 1, side, side), columns=10))
    height, width = 2 * cell + 6 + 32, 10 * cell + 9 * 6 + 32
    assert sheet.shape == (height, width, 3)
    assert (sheet[16 + cell : 16 + cell + 6] == 255).all()  # the gap between rows
    assert (sheet[16 : 16 + cell, 16 : 16 + cell] == 0).all()


def test_sheet_names_each_row():
    images = torch.zeros(3, 3, 32, 32)
    plain = opened(contact_sheet(images, columns=1))
    named = opened(contact_sheet(images, columns=1, row_names=["a", "a longer name", "\N{SNOWMAN}"]))
    names = named[:, : named.shape[1] - plain.shape[1]]
    assert named.shape[1] > plain.shape[1] + 50
    for row in range(3):
        top = 16 + row * 70
        assert names[top : top + 64].min() < 150
    with pytest.raises(DataError, match="each of the 3 rows; found 1"):
        contact_sheet(images, columns=1, row_names=["a"])
    with pytest.raises(InvalidValue, match="columns"):
        contact_sheet(images, columns=0)


def test_rows_by_class_fill_with_the_white_of_the_paper():
    images = torch.stack([torch.full((1, 8, 8), v) for v in (0.2, 0.4, 0.6)])
    rows = rows_by_class(images, torch.tensor([1, 0, 1]), classes=3, columns=2)
    assert rows[:, 0, 0, 0].tolist() == [102, 255, 51, 153, 255, 255]
