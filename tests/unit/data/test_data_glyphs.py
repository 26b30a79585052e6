"""Glyphs: balanced, reproducible, legible, jittered in every way that is promised."""

from __future__ import annotations

import pytest
import torch

from dpgen.data import Shape
from dpgen.data.sources.glyph_masters import CHARACTERS, FACES, TWINS, font_path, masters, twins
from dpgen.data.sources.glyphs import Glyphs, default_fill, draw_glyphs
from dpgen.errors import DataError, InvalidValue


def extent(inked):
    """From the first to the last place of ink, in pixels."""
    places = torch.arange(inked.shape[1])
    return torch.where(inked, places, -1).amax(1) - torch.where(inked, places, 99).amin(1) + 1


def boxes(images):
    """Width and height in pixels of what is inked."""
    ink = images[:, 0] > 60
    return extent(ink.any(1)), extent(ink.any(2))


def test_classes_and_masters():
    assert len(CHARACTERS) == len(set(CHARACTERS)) == 74
    per_character = masters().first.diff()
    assert len(FACES) == 21
    assert all(font_path(face).exists() for face in FACES)
    assert dict(zip(CHARACTERS, per_character.tolist(), strict=True))["A"] == 21
    # The TeX faces have other signs where < > and, in italics, $ belong.
    lacking = {c: 21 - n for c, n in zip(CHARACTERS, per_character.tolist(), strict=True) if n != 21}
    assert lacking == {"<": 4, ">": 4, "$": 1}


def test_twins():
    assert twins("o") == frozenset("0Oo")
    assert twins("8") == frozenset("8")
    assert len(frozenset().union(*TWINS)) == sum(map(len, TWINS))


@pytest.mark.parametrize("shape", [Shape(1, 8, 8), Shape(3, 28, 28), Shape(1, 64, 64), Shape(1, 16, 24)])
def test_shape_balance_and_determinism(shape):
    source = Glyphs(count=200, seed=3)
    first, again = source.load(shape), source.load(shape)
    assert first.images.shape == (200, *shape)
    assert first.class_names == source.class_names()
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    counts = first.labels.bincount(minlength=74)
    assert set(counts.tolist()) == {2, 3}
    assert not torch.equal(first.images, Glyphs(count=200, seed=4).load(shape).images)
    assert (first.images == first.images[:, :1]).all()  # RGB repeats grey


def test_order_mixes_the_classes():
    labels = draw_glyphs(740, Shape(1, 8, 8)).labels
    assert len(labels[:74].unique()) < 74
    assert labels[:74].unique().numel() > 30


@pytest.mark.parametrize("side", [8, 28])
def test_white_ink_on_black_in_its_box(side):
    shape = Shape(1, side, side)
    images = draw_glyphs(740, shape, jitter=0).images
    width, height = boxes(images)
    longer = torch.maximum(width, height).float()
    assert (longer - default_fill(shape) * side).abs().max() <= 2
    assert images.flatten(1).amax(1).float().mean() > 240  # strokes reach white
    assert images.float().mean() < 110
    if side == 28:
        assert images[:, :, :2].max() == 0


def test_jitter_varies_size_place_and_thickness():
    plain, wild = (draw_glyphs(2960, Shape(1, 28, 28), jitter=j) for j in (0.0, 1.0))
    label = CHARACTERS.index("H")
    sizes = [boxes(t.images[t.labels == label])[1].float().std() for t in (plain, wild)]
    assert sizes[1] > 1.3 * sizes[0]
    ink = [t.images[t.labels == label].float().mean((1, 2, 3)) / 255 for t in (plain, wild)]
    assert ink[1].max() / ink[1].min() > ink[0].max() / ink[0].min()
    column = torch.arange(28.0)
    centres = [(t.images[:, 0].float().sum(1) @ column) / t.images.float().sum((1, 2, 3)) for t in (plain, wild)]
    assert centres[1].std() > centres[0].std()


@pytest.mark.parametrize("jitter", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("side", [8, 28])
def test_no_glyph_is_blank_or_a_blot(side, jitter):
    images = draw_glyphs(740, Shape(1, side, side), jitter=jitter).images.float() / 255
    share = images.mean((1, 2, 3))
    assert share.min() > 0.01
    assert share.quantile(0.99) < 0.7
    assert share.max() < 0.95
    assert images.flatten(1).amax(1).min() > 0.4


def test_glyphs_of_one_class_are_alike():
    """Nearest class mean tells classes apart far above chance; shuffled labels do not."""
    drawn = draw_glyphs(3700, Shape(1, 16, 16), jitter=0.5)
    pixels = drawn.images.flatten(1).float()

    def accuracy(labels):
        means = torch.stack([pixels[:1850][labels[:1850] == c].mean(0) for c in range(74)])
        return (torch.cdist(pixels[1850:], means).argmin(1) == labels[1850:]).float().mean()

    assert accuracy(drawn.labels) > 0.45
    shuffled = drawn.labels[torch.randperm(3700, generator=torch.Generator().manual_seed(0))]
    assert accuracy(shuffled) < 0.06


@pytest.mark.parametrize("side", [7, 65])
def test_sides_out_of_reach(side):
    with pytest.raises(DataError, match=r"8 to 64 px; found"):
        draw_glyphs(1, Shape(1, side, side))


@pytest.mark.parametrize(
    "options", [{"count": -1}, {"jitter": -0.1}, {"jitter": 4.1}, {"fill": 0}, {"seed": 1.5}, {"count": 2.0}]
)
def test_options_out_of_range(options):
    with pytest.raises(InvalidValue):
        Glyphs(**options)


def test_no_glyphs():
    assert Glyphs(count=0).load(Shape(1, 8, 8)).images.shape == (0, 1, 8, 8)
