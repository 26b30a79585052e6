from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import Shape
from dpgen.evaluation.extractor import PixelCosines, PublicFeatures
from dpgen.mechanisms.context import SilentProgress
from dpgen.networks.augment import Augmentation


def images(count: int, *shape: int) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(4))


def trained(seed: int, steps: int = 2) -> PublicFeatures:
    public = PublicDataset("noise", (255 * images(20, 1, 8, 8)).to(torch.uint8), torch.arange(20) % 2, ("a", "b"))
    return PublicFeatures.train(
        public,
        steps=steps,
        width=4,
        augmentation=Augmentation(),
        seed=seed,
        device=torch.device("cpu"),
        progress=SilentProgress(),
    )


def test_public_features_are_named_after_their_weights() -> None:
    first, again, other = trained(1), trained(1), trained(2)
    assert first.identity == again.identity != other.identity
    assert first.identity.startswith("public-cnn@")
    assert len(first.identity) == len("public-cnn@") + 8
    features = first(images(5, 1, 8, 8))
    assert features.shape == (5, first.network.feature_size)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, again(images(5, 1, 8, 8)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 32), (1, 4, 64)])
def test_cosines_are_those_of_scipy(shape: tuple[int, int, int]) -> None:
    pixels = images(3, *shape)
    extractor = PixelCosines(Shape(*shape))
    whole = dctn(pixels.double().numpy(), axes=(2, 3), norm="ortho") / np.sqrt(shape[1] * shape[2])
    np.testing.assert_allclose(extractor(pixels), whole[:, :, :8, :8].reshape(3, -1), atol=1e-12)


def test_cosines_say_what_they_are_and_read_bytes() -> None:
    extractor = PixelCosines(Shape(1, 4, 64))
    assert extractor.identity == "pixel-cosines-4x8"
    grey = torch.full((1, 1, 4, 64), 51, dtype=torch.uint8)
    features = extractor(grey)
    assert features[0, 0] == pytest.approx(0.2)  # the first coefficient is the mean brightness
    np.testing.assert_allclose(features[0, 1:], 0, atol=1e-12)
