"""Random Fourier features, the image generator, and the training that matches an embedding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from dpgen.errors import DataError, InvalidValue
from dpgen.mechanisms import Checkpoints, Progress, RunContext, SilentProgress
from dpgen.mechanisms.context import Advance
from dpgen.networks import embedding_matching
from dpgen.networks.embedding_matching import draw, match_embedding
from dpgen.networks.image_generator import ImageGenerator
from dpgen.networks.random_features import RandomFourierFeatures


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_features_have_norm_one_and_approach_the_gaussian_kernel() -> None:
    images = torch.rand(6, 1, 4, 4, generator=seeded(1))
    features = RandomFourierFeatures(16, 10000, bandwidth=1.5, generator=seeded())
    found = features(images).double()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6, dtype=torch.float64), atol=1e-6, rtol=0)
    flat = images.flatten(1).double()
    kernel = (-(torch.cdist(flat, flat) ** 2) / (2 * 1.5**2)).exp()
    torch.testing.assert_close(found @ found.T, kernel, atol=0.06, rtol=0)


def test_features_come_from_their_public_generator_and_their_image_alone() -> None:
    first, same, other = (RandomFourierFeatures(4, 6, bandwidth=1.0, generator=seeded(s)) for s in (0, 0, 1))
    images = torch.rand(3, 1, 2, 2, generator=seeded(1))
    assert torch.equal(first(images), same(images))
    assert not torch.equal(first(images), other(images))
    torch.testing.assert_close(first(images)[1:2], first(images[1:2]))


@pytest.mark.parametrize("wrong", [{"features": 1}, {"bandwidth": 0.0}, {"inputs": 0}], ids=str)
def test_features_refuse_settings_out_of_range(wrong: dict[str, float]) -> None:
    settings = {"inputs": 4, "features": 6, "bandwidth": 1.0} | wrong
    with pytest.raises(InvalidValue, match=next(iter(wrong))):
        RandomFourierFeatures(**settings, generator=seeded())  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 15, 15), (3, 64, 32)], ids=str)
def test_the_generator_makes_images_of_the_shape_asked_for(shape: tuple[int, int, int]) -> None:
    network = ImageGenerator(shape, 3, latent=4, width=2, generator=seeded())
    with torch.no_grad():
        images, labels = draw(network, 7, seeded(1))
    assert images.shape == (7, *shape)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_equal_seeds_give_equal_generators() -> None:
    weights = [ImageGenerator((1, 8, 8), 2, latent=3, width=2, generator=seeded(s)).state_dict() for s in (0, 0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["spread.weight"], weights[2]["spread.weight"])


class Stopped(Exception):
    """Stands for the end of the process."""


class StopsAt(Progress):
    def __init__(self, step: int) -> None:
        self.step = step

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if done >= self.step:
                raise Stopped

        yield advance


FEATURES = RandomFourierFeatures(64, 200, bandwidth=3.0, generator=seeded(2))


def dark_and_bright() -> torch.Tensor:
    """An embedding of a dark class and a bright one."""
    images = torch.cat([torch.full((1, 1, 8, 8), 0.1), torch.full((1, 1, 8, 8), 0.9)])
    return FEATURES(images) / 2


def matched(checkpoints: Checkpoints, progress: Progress, steps: int = 7) -> ImageGenerator:
    network = ImageGenerator((1, 8, 8), 2, latent=3, width=4, generator=seeded())
    weights = match_embedding(
        network,
        FEATURES,
        dark_and_bright(),
        torch.tensor([0.5, 0.5]),
        steps=steps,
        batch=8,
        learning_rate=1e-2,
        context=RunContext(checkpoints=checkpoints, progress=progress),
        phase="auxiliary",
    )
    network.load_state_dict(weights)
    return network.eval()


def test_matching_learns_which_class_is_bright() -> None:
    network = matched(Checkpoints(), SilentProgress(), steps=250)
    with torch.no_grad():
        images, labels = draw(network, 20, seeded(3))
    assert float(images[labels == 0].mean()) < 0.3
    assert float(images[labels == 1].mean()) > 0.7


def test_matching_that_is_stopped_and_resumed_is_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_matching, "CHECKPOINT_EVERY", 2)
    whole, checkpoints = matched(Checkpoints(), SilentProgress()).state_dict(), Checkpoints()
    with pytest.raises(Stopped):
        matched(checkpoints, StopsAt(5))
    assert checkpoints.load("auxiliary.unfinished") is not None
    resumed = matched(checkpoints, SilentProgress()).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_an_embedding_of_other_classes_is_refused() -> None:
    network = ImageGenerator((1, 8, 8), 3, latent=3, width=2, generator=seeded())
    with pytest.raises(DataError, match="each of 3 classes; found 2 and 3"):
        match_embedding(
            network,
            FEATURES,
            dark_and_bright(),
            torch.ones(3) / 3,
            steps=1,
            batch=4,
            learning_rate=1e-2,
            context=RunContext(),
            phase="x",
        )
