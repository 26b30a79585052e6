"""Hostile and odd images: each gets its canonical form or its documented error, alone and in a whole load."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dpgen.data import Shape
from dpgen.data.decoding import CONSTANT, decode, decode_all
from dpgen.errors import DataError, InvalidValue, StorageError

GREY, RGB = Shape(1, 8, 8), Shape(3, 8, 8)


def saved(image, **options):
    file = BytesIO()
    image.save(file, **({"format": "PNG"} | options))
    return file.getvalue()


def ramp(height=8, width=8):
    return np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)


def png_with_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


GOOD = saved(Image.fromarray(ramp(32, 32)))
HOSTILE = {
    "zero bytes": b"",
    "missing": None,
    "wrong magic": b"GARB" + GOOD[4:],
    "format not allowed": saved(Image.fromarray(ramp()), format="PPM"),
    "truncated PNG": GOOD[: len(GOOD) // 2],
    "truncated JPEG": saved(Image.fromarray(ramp(64, 64)), format="JPEG")[:-200],
    "truncated WebP": saved(Image.fromarray(ramp(64, 64)), format="WEBP", lossless=True)[:-200],
    "damaged PNG": GOOD[:60] + bytes(byte ^ 0xFF for byte in GOOD[60:90]) + GOOD[90:],
    "header only": png_with_header(8, 8),
    "bomb": png_with_header(60_000, 60_000),
    "bomb below Pillow's own limit": png_with_header(8_200, 8_200),
    "zero width": png_with_header(0, 8),
    "float TIFF": saved(Image.fromarray(ramp().astype(np.float32)), format="TIFF"),
    "NaN": np.full((8, 8), np.nan),
    "out of range": np.full((8, 8), 1.5),
    "integers": np.zeros((8, 8), np.int64),
    "empty array": np.zeros((0, 8), np.uint8),
    "two channels": np.zeros((8, 8, 2), np.uint8),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_image_is_refused_or_replaced(hostile):
    with pytest.raises(DataError):
        decode(hostile, GREY)
    sources = [("first", GOOD), ("second", hostile), ("third", GOOD)]
    with pytest.raises(DataError, match=r"1 corrupt: second \(.*Nothing was charged.*on_corrupt = 'constant'"):
        decode_all(sources, count=3, shape=RGB)
    images = decode_all(sources, count=3, shape=RGB, on_corrupt="constant")
    assert images.shape == (3, 3, 8, 8)  # the count stays
    assert (images[1] == CONSTANT).all()
    assert torch.equal(images[0], images[2])
    assert images[0].float().std() > 0


def test_refusal_names_the_first_five_and_not_the_total():
    sources = [(f"image-{i}.png", None if i < 7 else GOOD) for i in range(23)]
    with pytest.raises(DataError) as refusal:
        decode_all(sources, count=23, shape=GREY)
    message = str(refusal.value)
    assert "7 corrupt" in message
    assert "image-4.png" in message
    assert "image-5.png" not in message
    assert "23" not in message  # how many records there are stays private
    assert refusal.value.__cause__ is None


def test_error_quotes_nothing_of_the_content():
    planted = b"CANARY-4711"
    with pytest.raises(DataError) as refusal:
        decode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(planted)) + planted * 9, GREY)
    assert "CANARY" not in str(refusal.value)
    assert refusal.value.__suppress_context__


def test_truncation_is_refused_whatever_the_process_allows(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError):
        decode(HOSTILE["truncated PNG"], GREY)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_unknown_choice_for_corrupt_images():
    with pytest.raises(InvalidValue, match="on_corrupt"):
        decode_all([], count=0, shape=GREY, on_corrupt="skip")


def test_unreadable_file_is_no_corrupt_image(tmp_path):
    gone = tmp_path / "gone.png"
    with pytest.raises(StorageError, match=r"gone\.png"):
        decode_all([("gone.png", gone)], count=1, shape=GREY, on_corrupt="constant")


@pytest.mark.parametrize("codec", ["PNG", "BMP", "TIFF", "GIF"])
def test_matching_size_passes_bit_for_bit(codec):
    assert np.array_equal(decode(saved(Image.fromarray(ramp()), format=codec), GREY)[0], ramp())


def test_rgb_passes_bit_for_bit_and_grey_is_repeated():
    colours = np.stack([ramp(), ramp().T, 255 - ramp()], axis=2)
    assert np.array_equal(decode(saved(Image.fromarray(colours)), RGB), colours.transpose(2, 0, 1))
    assert np.array_equal(decode(ramp(), RGB), np.stack([ramp()] * 3))
    luma = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(decode(colours, GREY)[0], luma)


def test_sixteen_bits_scale_to_eight():
    deep = ramp().astype(np.uint16) * 257
    assert np.array_equal(decode(saved(Image.fromarray(deep)), GREY)[0], ramp())
    assert np.array_equal(decode(saved(Image.fromarray(deep), format="TIFF"), GREY)[0], ramp())


def test_palette_and_bilevel():
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 255, 0, 10])
    assert decode(saved(palette), RGB)[:, 0, 0].tolist() == [255, 0, 10]
    assert decode(saved(Image.new("1", (8, 8), 1)), GREY).min() == 255


def test_cmyk_jpeg():
    red = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), format="JPEG", quality=95)
    pixel = decode(red, RGB)[:, 4, 4]
    assert pixel[0] > 240
    assert pixel[1:].max() < 15


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(mode):
    clear = Image.new(mode, (8, 8), (0,) * len(mode))
    assert decode(saved(clear), GREY).min() == 255
    solid = Image.new(mode, (8, 8), (0,) * (len(mode) - 1) + (255,))
    assert decode(saved(solid), GREY).max() == 0


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (8, 8), value) for value in (200, 10, 20)]
    for codec in ("GIF", "WEBP"):
        animated = saved(
            frames[0],
            format=codec,
            save_all=True,
            append_images=frames[1:],
            **({"lossless": True} if codec == "WEBP" else {}),
        )
        assert decode(animated, GREY)[0].tolist() == [[200] * 8] * 8


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    rotated = saved(Image.fromarray(ramp()), exif=exif)
    assert np.array_equal(decode(rotated, GREY)[0], np.rot90(ramp(), -1))


def test_other_aspect_is_cropped_at_the_centre():
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = 255
    assert decode(wide, GREY).min() == 255
    tall = np.zeros((16, 8), np.uint8)
    tall[4:12] = ramp()
    assert np.array_equal(decode(tall, GREY)[0], ramp())


def test_shrinking_is_antialiased():
    checkers = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(decode(checkers, GREY).astype(int) - 127).max() < 8  # nearest neighbour would give 0 or 255


def test_no_warning_escapes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(GOOD, GREY)
        with pytest.raises(DataError):
            decode(HOSTILE["bomb"], GREY)


sides = st.integers(1, 40)


@given(sides, sides, st.sampled_from([(), (1,), (3,), (4,)]), sides, sides, st.sampled_from([1, 3]), st.booleans())
def test_any_size_becomes_the_asked_shape(h, w, channels, height, width, wanted, floating):
    array = np.random.default_rng(h * 41 + w).random((h, w, *channels))
    pixels = decode(array if floating else (array * 255).astype(np.uint8), Shape(wanted, height, width))
    assert pixels.shape == (wanted, height, width)
    assert pixels.dtype == np.uint8


@given(st.integers(0, 255), sides, sides, sides, sides)
def test_a_constant_image_stays_constant(value, h, w, height, width):
    assert np.unique(decode(np.full((h, w), value, np.uint8), Shape(1, height, width))).tolist() == [value]


def test_no_images_at_all():
    assert decode_all([], count=0, shape=RGB).shape == (0, 3, 8, 8)
