"""Central images: bounded vectors, a ratio of noisy sums, modes, and what stands where a class is empty."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpgen.budget import ADD_OR_REMOVE_ONE
from dpgen.data.datasets import ArrayRecords
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms import RunContext
from dpgen.mechanisms.repeated_gaussian_sum import RepeatedGaussianSum
from dpgen.noise import SeededNoise
from dpgen_plugins.diffusion.central_images import CentralQuery, ModeQuery, central_event, central_query
from dpgen_plugins.diffusion.finishing import finished
from dpgen_plugins.diffusion.settings import CentralImageSettings

SHAPE = Shape(1, 8, 8)


def query(**settings: object) -> CentralQuery:
    return central_query(CentralImageSettings.model_validate(settings), SHAPE)


def sums(query: CentralQuery, images: torch.Tensor, labels: list[int], *, noise: float = 0.0) -> torch.Tensor:
    mechanism = RepeatedGaussianSum(
        vectors=query.vectors,
        dimension=query.dimension,
        clip_norm=query.clip_norm,
        noise_multiplier=noise,
        rounds=1,
        sampling_probability=1.0,
        classes=3,
    )
    records = ArrayRecords(images, torch.tensor(labels))
    return mechanism._measure(records, noise=SeededNoise(0), relation=ADD_OR_REMOVE_ONE, context=RunContext())[0]


def grey(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()


def test_the_mean_is_the_mean_of_the_class() -> None:
    images = query(brightness=1.0).images(sums(query(brightness=1.0), grey(51, 102, 204), [0, 0, 1]), 0.0)
    assert images.shape == (3, 1, 4, 4)
    assert images.flatten(1).mean(1).tolist() == pytest.approx([0.3, 0.8, 0.0])


def test_a_clipped_image_weighs_less_and_is_not_darker() -> None:
    dim = query(brightness=0.5)
    bright = dim.images(sums(dim, grey(255), [0]), 0.0)
    both = dim.images(sums(dim, grey(255, 0), [0, 0]), 0.0)
    assert bright[0].mean() == pytest.approx(1.0)
    assert 0.3 < both[0].mean() < 0.5


def test_the_origin_is_added_again() -> None:
    centred = query(origin=0.5, brightness=0.5)
    images = centred.images(sums(centred, grey(51, 102, 204), [0, 0, 1]), 0.0)
    assert images.flatten(1).mean(1).tolist() == pytest.approx([0.3, 0.8, 0.5])
    assert centred.clip_norm == math.sqrt(0.25 * 16 + 1)


@pytest.mark.parametrize("count", [-40.0, 0.0, 1e-9, 39.9])
def test_a_count_near_zero_gives_the_public_origin(count: float) -> None:
    origin = query(origin=0.25)
    noisy = torch.full((1, 17), 1e6)
    noisy[0, -1] = count
    assert torch.equal(origin.images(noisy, 20.0), torch.full((1, 1, 4, 4), 0.25))


@given(st.sampled_from(["mean", "mode"]), st.integers(2, 5), st.integers(0, 2**31))
def test_no_image_is_longer_than_the_clip_in_mode_or_leaves_the_range(kind: str, bins: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    either = query(kind=kind, bins=bins, brightness=1.0)
    vectors = either.vectors(torch.rand(5, 1, 8, 8, generator=generator), torch.zeros(5, dtype=torch.int64))
    assert vectors.shape == (5, either.dimension)
    assert float(vectors.norm(dim=1).max()) <= either.clip_norm * (1 + 1e-6)
    noisy = 100 * torch.randn(7, either.dimension, generator=generator, dtype=torch.float64)
    images = either.images(noisy, 100.0)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1


def test_the_mode_is_what_most_images_have() -> None:
    mode = query(kind="mode", bins=3)
    images = mode.images(sums(mode, grey(0, 10, 250, 128, 255), [0, 0, 0, 1, 2]), 0.0)
    assert images.flatten(1)[:, 0].tolist() == [0.0, 0.5, 1.0]


def test_less_the_mean_of_its_bins_a_mode_vector_is_shorter_and_the_mode_the_same() -> None:
    mode = query(kind="mode", bins=2)
    assert isinstance(mode, ModeQuery)
    assert mode.clip_norm == pytest.approx(math.sqrt(16 / 2))
    votes = torch.randint(0, 50, (3, 32), generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(mode.images(votes, 0.0), mode.images(votes - 7, 0.0))


@pytest.mark.parametrize("kind", ["mean", "mode"])
def test_one_record_moves_a_round_by_the_clip_at_most(kind: str) -> None:
    either = query(kind=kind)
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images[0] = 255
    moved = sums(either, images, [0, 1, 2, 0, 1, 2]) - sums(either, images[1:], [1, 2, 0, 1, 2])
    assert 0.9 * either.clip_norm < float(moved.norm()) <= either.clip_norm * (1 + 1e-9)


def test_the_price_is_that_of_all_rounds() -> None:
    info = DatasetInfo(SHAPE, ("a", "b"), nominal_records=100)
    settings = CentralImageSettings(rounds=4, expected_batch=25)
    assert central_event(settings, info, 3.0) == SelfComposed(PoissonSampled(0.25, Gaussian(3.0)), 4)
    everybody = CentralImageSettings(rounds=1, expected_batch=500)
    assert central_event(everybody, info, 3.0) == SelfComposed(PoissonSampled(1.0, Gaussian(3.0)), 1)


def test_a_factor_that_does_not_divide_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"central\.factor must divide .* 3 for 8 x 8"):
        query(factor=3)


def test_finishing_drops_a_speck_and_sharpens_grey() -> None:
    small = torch.zeros(1, 1, 8, 8)
    small[0, 0, 4, 4] = 1.0
    assert finished(small, SHAPE, as_published=True).max() == 0
    edge = torch.full((1, 1, 4, 4), 0.2)
    edge[..., 2:] = 0.8
    plain, sharp = (finished(edge, SHAPE, as_published=choice) for choice in (False, True))
    assert plain.shape == sharp.shape == (1, 1, 8, 8)
    assert float((sharp - 0.5).abs().mean()) > float((plain - 0.5).abs().mean())
    colour = finished(torch.rand(2, 3, 4, 4), Shape(3, 8, 8), as_published=True)
    assert colour.shape == (2, 3, 8, 8)
