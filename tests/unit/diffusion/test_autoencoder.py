"""Codes are bounded, of the declared shape, each from its image alone; training on public images makes them useful."""

from __future__ import annotations

import pytest
import torch

from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import InvalidValue
from dpgen.mechanisms import Checkpoints, RunContext
from dpgen.testing.toy import toy_images
from dpgen_plugins.diffusion.autoencoder import Autoencoder, fresh_space, public_space
from dpgen_plugins.diffusion.settings import AutoencoderSettings
from dpgen_plugins.diffusion.space import PIXELS

INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b"), nominal_records=24)
SETTINGS = AutoencoderSettings(steps=60, batch=16, learning_rate=1e-2, codes=2, width=8)
PIXELS_OF_TOY, LABELS = toy_images(60, classes=3, seed=0)
PUBLIC = PublicDataset(
    "toy", torch.as_tensor(PIXELS_OF_TOY).permute(0, 3, 1, 2), torch.as_tensor(LABELS), ("low", "middle", "high")
)


def latent() -> Autoencoder:
    space = fresh_space("latent", SETTINGS, INFO, seed=0)
    assert isinstance(space, Autoencoder)
    return space


def test_codes_are_bounded_and_of_the_declared_shape() -> None:
    space, images = latent(), torch.rand(5, 1, 8, 8)
    codes = space.encode(images)
    assert codes.shape[1:] == space.code_shape(INFO.shape) == (2, 4, 4)
    assert float(codes.abs().max()) <= 1
    decoded = space.decode(codes)
    assert decoded.shape == images.shape
    assert 0 <= float(decoded.min()) <= float(decoded.max()) <= 1


def test_an_image_is_encoded_alone() -> None:
    space, images = latent(), torch.rand(5, 1, 8, 8).requires_grad_()
    (reached,) = torch.autograd.grad(space.encode(images)[2].sum(), images)
    assert reached[2].abs().sum() > 0
    assert reached[[0, 1, 3, 4]].count_nonzero() == 0


def test_sides_must_divide() -> None:
    with pytest.raises(InvalidValue, match=r"divide by 2; found 7 x 8.*autoencoder\.halvings"):
        latent().code_shape(Shape(1, 7, 8))


def test_training_on_public_images_restores_them_better_and_is_kept() -> None:
    images, context = PUBLIC.images.float() / 255, RunContext(checkpoints=Checkpoints())

    def error(space: Autoencoder) -> float:
        return float((space.decode(space.encode(images)) - images).square().mean())

    trained = public_space("latent", SETTINGS, INFO, PUBLIC, context)
    assert isinstance(trained, Autoencoder)
    assert error(trained) < 0.5 * error(latent())
    assert not any(p.requires_grad for p in trained.parameters())
    again = public_space("latent", SETTINGS, INFO, PUBLIC, context)
    assert all(torch.equal(again.state_dict()[name], t) for name, t in trained.state_dict().items())


def test_pixels_need_no_training() -> None:
    assert public_space("pixel", SETTINGS, INFO, PUBLIC, RunContext()) is PIXELS
    assert PIXELS.state_dict() == {}
    assert torch.equal(PIXELS.decode(PIXELS.encode(torch.tensor([0.0, 0.25, 1.0]))), torch.tensor([0.0, 0.25, 1.0]))
