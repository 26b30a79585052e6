from __future__ import annotations

import math

import pytest
import torch

from dpgen.errors import InvalidValue
from dpgen.networks.augment import GENTLE, PHOTOGRAPH, WILD, Augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, side: int = 16, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=generator(9))


def dot(side: int = 33, *, down: int = 0, across: int = 0) -> torch.Tensor:
    """A bright square of 5 pixels, moved off the centre."""
    picture, middle = torch.zeros(1, 1, side, side), side // 2
    rows, columns = middle + down, middle + across
    picture[:, :, rows - 2 : rows + 3, columns - 2 : columns + 3] = 1
    return picture


def centre(picture: torch.Tensor) -> tuple[float, float]:
    """Centre of brightness, in pixels from the middle: down, across."""
    side = picture.shape[-1]
    places = torch.arange(side) - side // 2
    weight = picture[0, 0] / picture.sum()
    return float((weight.sum(1) * places).sum()), float((weight.sum(0) * places).sum())


@pytest.mark.parametrize("augmentation", [GENTLE, WILD, PHOTOGRAPH, WILD.times(1.5)])
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 3), (64, 1)])
def test_keeps_shape_and_range_and_follows_the_generator(augmentation: Augmentation, side: int, channels: int) -> None:
    before = images(side=side, channels=channels)
    original = before.clone()
    after = augmentation(before, generator(1))
    assert after.shape == before.shape
    assert after.dtype == torch.float32
    assert 0 <= after.min() <= after.max() <= 1
    torch.testing.assert_close(after, augmentation(before, generator(1)), rtol=0, atol=0)
    assert not torch.equal(after, augmentation(before, generator(2)))
    torch.testing.assert_close(before, original, rtol=0, atol=0)


def test_no_strength_changes_nothing() -> None:
    before = images()
    torch.testing.assert_close(Augmentation()(before, generator()), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "strength",
    ["rotation", "shear", "scale", "shift", "elastic", "thickness", "blur", "contrast", "brightness", "noise"],
)
def test_each_strength_acts_alone_and_differs_between_images(strength: str) -> None:
    same = images(1).expand(4, 1, 16, 16)
    after = Augmentation(**{strength: 0.3})(same, generator())
    assert not torch.equal(after[0], same[0])
    assert not torch.equal(after[0], after[1])


def test_shift_stays_within_its_share_of_the_side() -> None:
    pictures = dot().expand(200, 1, 33, 33)
    moved = Augmentation(shift=0.2)(pictures, generator())
    distances = [abs(place) for picture in moved for place in centre(picture[None])]
    assert 0.15 * 33 < max(distances) <= 0.2 * 33 + 0.01


def test_rotation_keeps_the_distance_and_stays_within_its_angle() -> None:
    pictures = dot(across=9).expand(200, 1, 33, 33)
    turned = Augmentation(rotation=0.5)(pictures, generator())
    places = [centre(picture[None]) for picture in turned]
    assert all(abs(math.hypot(*place) - 9) < 0.2 for place in places)
    angles = [abs(math.atan2(*place)) for place in places]
    assert 0.4 < max(angles) < 0.52


def test_scale_brings_the_image_nearer_and_farther() -> None:
    pictures = dot(across=9).expand(200, 1, 33, 33)
    scaled = Augmentation(scale=0.2)(pictures, generator())
    places = [centre(picture[None])[1] for picture in scaled]
    assert 9 * 0.8 / 1.1 - 0.2 < min(places) < 8 < 10 < max(places) < 9 * 1.2 / 0.9 + 0.2


def test_shear_slants_by_height() -> None:
    pictures = dot(down=9).expand(200, 1, 33, 33)
    slanted = [centre(picture[None]) for picture in Augmentation(shear=0.4)(pictures, generator())]
    assert all(abs(down - 9) < 0.2 for down, _ in slanted)
    assert 0.3 * 9 < max(abs(across) for _, across in slanted) < 0.42 * 9


def test_thickness_widens_and_thins_bright_strokes() -> None:
    pictures = dot().expand(100, 1, 33, 33)
    ink = Augmentation(thickness=0.9)(pictures, generator()).sum((1, 2, 3))
    assert 9 <= ink.min() < 25 < ink.max() <= 49


def test_blur_keeps_the_ink() -> None:
    after = Augmentation(blur=1.0)(dot(), generator())
    assert after.sum() == pytest.approx(25, rel=1e-5)
    assert after.max() <= 1
    assert (after > 0).sum() > 25


def test_reflection_leaves_no_black_border() -> None:
    white = torch.ones(20, 3, 32, 32)
    assert Augmentation(shift=0.3, padding="reflection")(white, generator()).min() == pytest.approx(1)
    assert Augmentation(shift=0.3)(white, generator()).min() == 0


def test_times_scales_strengths_and_stops_shares_at_one() -> None:
    doubled = Augmentation(rotation=0.8, thickness=0.7, padding="border").times(2)
    assert (doubled.rotation, doubled.thickness, doubled.padding) == (1.6, 1.0, "border")


@pytest.mark.parametrize(
    "setting", [{"rotation": -0.1}, {"scale": 1.5}, {"blur": 2.0}, {"noise": math.nan}, {"padding": "wrap"}]
)
def test_refuses_bad_settings(setting: dict[str, object]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(setting))):
        Augmentation(**setting)  # type: ignore[arg-type]
