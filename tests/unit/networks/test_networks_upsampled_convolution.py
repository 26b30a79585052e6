"""The folded layer against doubling and convolving, value by value and gradient by gradient."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dpgen.networks.image_generator import ImageGenerator
from dpgen.networks.upsampled_convolution import UpsampledConvolution

SIZES = st.integers(1, 7)


def _plain(layer: UpsampledConvolution, maps: Tensor) -> Tensor:
    return F.conv2d(F.interpolate(maps, scale_factor=2), layer.weight, padding=2)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_is_a_convolution_of_the_doubled_map(inputs: int, outputs: int, height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = UpsampledConvolution(inputs, outputs).double()
    maps = torch.randn(2, inputs, height, width, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(layer(maps), _plain(layer, maps))


def test_gradients_are_those_of_the_plain_layer() -> None:
    layer = UpsampledConvolution(3, 4).double()
    maps = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 4, 10, 8, dtype=torch.float64)
    places = (maps, layer.weight)
    folded = torch.autograd.grad((layer(maps) * values).sum(), places)
    plain = torch.autograd.grad((_plain(layer, maps) * values).sum(), places)
    for one, other in zip(folded, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_saves_the_weight_of_the_plain_layer_alone() -> None:
    layer = UpsampledConvolution(3, 4)
    plain = nn.Conv2d(3, 4, 5, padding=2, bias=False)
    plain.load_state_dict(layer.state_dict())
    maps = torch.ones(1, 3, 6, 6)
    torch.testing.assert_close(plain(F.interpolate(maps, scale_factor=2)), layer(maps))


def test_a_generator_doubles_up_to_the_size_of_its_images() -> None:
    network = ImageGenerator((3, 28, 20), 4, latent=2, width=4, generator=torch.Generator().manual_seed(0))
    images = network(torch.zeros(8, 2), torch.arange(8) % 4)
    assert images.shape == (8, 3, 28, 20)
