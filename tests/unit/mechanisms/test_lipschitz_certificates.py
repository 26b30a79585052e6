"""What a certificate says, when it is void, and what is refused for want of a bound (R3, R10)."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as old_spectral_norm

from dpgen.errors import InvalidValue, SensitivityError
from dpgen.mechanisms.dp_sgd import Route, check_module, clipped_gradient_sum, gradient_routes
from dpgen.mechanisms.lipschitz import (
    AolConv2d,
    AolLinear,
    BallProjection,
    Concatenation,
    GroupSort,
    Residual,
    Scale,
    certify,
    project_onto_ball,
)


def encoder() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        AolConv2d(1, 4, 3), GroupSort(), AolConv2d(4, 8, 3, 2), GroupSort(), nn.Flatten(), AolLinear(128, 6)
    )


def test_what_it_says() -> None:
    certificate = certify(encoder(), (1, 8, 8))
    assert 0 < certificate.bound <= 1 + 1e-4  # bounded by construction, and measured all the same
    assert certificate.input_shape == (1, 8, 8)
    assert certificate.float_margin == 1e-6
    assert "Gram" in certificate.method
    assert 0 < certificate.growth.error(8.0) < 1e-10


@pytest.mark.parametrize(
    ("module", "bound"),
    [
        (nn.Sequential(Scale(3.0), nn.ReLU(), Scale(0.5)), 1.5),
        (Residual(Scale(0.25)), 1.25),
        (Concatenation(Scale(3.0), Scale(4.0)), 5.0),
        (nn.Sigmoid(), 0.25),
        (nn.MaxPool2d(2), 1.0),
        (nn.MaxPool2d(3, 2), 2.0),
        (nn.AvgPool2d(2), 0.5),
        (nn.LeakyReLU(2.0), 2.0),
        (BallProjection(1.0), 1.0),
    ],
)
def test_known_constants(module: nn.Module, bound: float) -> None:
    assert certify(module, (2, 4, 4)).bound == pytest.approx(bound, rel=1e-5)


@pytest.mark.parametrize(
    "module", [nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid()], ids=lambda module: repr(module)
)
def test_a_smooth_function_has_its_steepest_slope(module: nn.Module) -> None:
    """The steepest of a million points; the curve is so flat there that no point between them is steeper by 1e-9."""
    points = torch.linspace(-10, 10, 1_000_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(module(points).sum(), points)
    steepest = float(slope.abs().max())
    bound = certify(module, (3,)).bound
    assert steepest <= bound <= steepest * (1 + 2e-4)


def test_the_kernel_as_a_matrix_is_not_the_norm_of_its_convolution() -> None:
    """R3: what torch's spectral_norm divides by, on a smoothing kernel: a third of the norm."""
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    nn.init.ones_(layer.weight)
    as_matrix = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
    assert certify(layer, (4, 16, 16)).bound > 2.9 * as_matrix


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (parametrizations.spectral_norm(nn.Linear(64, 4)), "power iteration"),
        (parametrizations.weight_norm(nn.Linear(64, 4)), "parametrised"),
        (old_spectral_norm(nn.Linear(64, 4)), "power iteration"),
        (nn.BatchNorm2d(1).eval(), "batch statistics belong to other records"),
        (nn.GroupNorm(1, 1), "own deviation"),
        (nn.LayerNorm(8), "own deviation"),
        (nn.InstanceNorm2d(1), "own deviation"),
        (nn.MultiheadAttention(8, 1), "attention is not Lipschitz"),
        (nn.Hardswish(), "none of the layers"),
        (nn.Dropout(), "draw nothing"),
        (nn.ReLU(inplace=True), "leave its input alone"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "repeats pixels"),
        (nn.Conv2d(1, 1, 3, padding=2, padding_mode="circular"), "keeps the sides"),
        (nn.Softmax(dim=0), "axis of the row"),
        (nn.Flatten(0), "each row"),
        (nn.AvgPool2d(3, ceil_mode=True), "equal weight"),
        (nn.AvgPool2d(3, padding=1, count_include_pad=False), "equal weight"),
        (nn.AdaptiveAvgPool2d(2), "output size 1"),
        (nn.MaxPool2d(3, dilation=2), "plain windows"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "nearest"),
        (nn.Upsample(size=(12, 12)), "whole factor"),
        (nn.Linear(8, 2), "Flatten"),
        (Residual(nn.Conv2d(1, 1, 3)), "keep the shape"),
    ],
)
def test_what_has_no_bound_is_refused_with_its_reason(module: nn.Module, why: str) -> None:
    with pytest.raises(SensitivityError, match=why):
        certify(nn.Sequential(nn.Identity(), module), (1, 8, 8))


def test_a_subclass_a_hook_and_a_replaced_forward_are_not_trusted() -> None:
    class Doubling(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 100 * super().forward(input)

    hooked, replaced = nn.Linear(4, 4), nn.Linear(4, 4)
    hooked.register_forward_hook(lambda module, given, out: 100 * out)
    replaced.forward = lambda x: 100 * x  # type: ignore[method-assign]
    for module in (Doubling(4, 4), hooked, replaced):
        with pytest.raises(SensitivityError):
            certify(module, (4,))


def test_weights_that_are_not_finite() -> None:
    layer = nn.Linear(4, 4)
    nn.init.constant_(layer.weight, float("nan"))
    with pytest.raises(SensitivityError, match="finite"):
        certify(layer, (4,))


@pytest.mark.parametrize("shape", [(), (0,), (1.5,), (True, 2)])
def test_shapes_that_are_none(shape) -> None:
    with pytest.raises(InvalidValue, match="input_shape"):
        certify(nn.Identity(), shape)


def test_it_is_void_once_the_network_changes() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU())
    certificate = certify(network, (1, 2, 2))
    certificate.require_valid(network)
    with torch.no_grad():
        network[1].weight[0, 0] += 1e-6
    with pytest.raises(SensitivityError, match="Certify the network anew"):
        certificate.require_valid(network)
    network = nn.Sequential(Scale(1.0))
    certificate = certify(network, (4,))
    network[0] = Scale(2.0)  # no weight, another map
    with pytest.raises(SensitivityError):
        certificate.require_valid(network)


def linear(*rows: tuple[float, ...]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows, dtype=torch.float64))
    return layer


def test_a_layer_that_comes_twice_counts_twice() -> None:
    """Broken twin: `nn.Module.named_children`, which gives each layer once."""
    triple = linear((3.0, 0.0), (0.0, 3.0))
    network = nn.Sequential(triple, nn.ReLU(), triple)
    assert certify(network, (2,)).bound >= float(network(torch.tensor([[1.0, 0.0]]).double()).detach().norm())  # 9
    assert len(dict(network.named_children())) == 2


def test_what_happens_to_the_network_later_makes_it_void() -> None:
    network = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 4), nn.Dropout(0.5)).eval()
    certificate = certify(network, (1, 4, 4))
    certificate.require_valid(network)
    network.train()  # dropout doubles what it keeps
    with pytest.raises(SensitivityError, match="draw nothing"):
        certificate.require_valid(network)
    network.eval()
    hook = network[2].register_forward_hook(lambda module, given, out: 100 * out)
    with pytest.raises(SensitivityError, match="hook"):
        certificate.require_valid(network)
    hook.remove()
    certificate.require_valid(network)
    network[0].divisor_override = 1  # repr does not tell
    with pytest.raises(SensitivityError, match="Certify the network anew"):
        certificate.require_valid(network)


def test_pixels_that_are_copied_unevenly() -> None:
    """3.4 times two pixels are six, of which the first one gets four: not a factor of 3."""
    layer, spike = nn.Upsample(scale_factor=3.4), torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)
    assert layer(spike).shape[-1] % 2 == 0
    assert certify(layer, (1, 2, 2)).bound >= float(layer(spike).norm()) == 4.0


def test_small_weights_do_not_vanish_in_their_squares() -> None:
    network = nn.Sequential(linear((1e-170, 0.0), (0.0, 1e-170)), Scale(1e170))
    assert 1 <= certify(network, (2,)).bound < 1.001
    assert certify(linear((0.0, 0.0)), (2,)).bound == 0


def test_rounding_of_values_that_are_not_small() -> None:
    """Errors that do not shrink with the input: sigmoid rounds around 1/2, a sum around its bias."""
    assert certify(nn.Sigmoid(), (4,)).growth.error(1e-12) > 2.0**-53
    layer = nn.Linear(1000, 1).double()
    with torch.no_grad():
        layer.weight.fill_(2.0**-54)
        layer.bias.fill_(1.0)
    total = layer.bias.item()
    for weight in layer.weight[0].tolist():
        total += weight  # each is lost: half of the last place of 1
    exact = 1.0 + 1000 * 2.0**-54
    assert certify(layer, (1000,)).growth.error(math.sqrt(1000)) >= exact - total > 0


def test_certifying_changes_neither_the_network_nor_any_generator() -> None:
    network, state = encoder(), torch.get_rng_state()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    certify(network, (1, 8, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert network[0].weight.dtype == torch.float32


def test_an_encoder_of_32_pixels_within_five_seconds_of_one_core() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), GroupSort()),
        *(Residual(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())), nn.Conv2d(64, 128, 4, 2, 1)),
        *(nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8192, 256), nn.ReLU()),
        *(nn.Linear(256, 32), BallProjection(1.0)),
    )
    began = time.process_time()
    assert certify(network, (3, 32, 32)).bound > 0
    assert time.process_time() - began < 5


def test_aol_layers_learn_by_dp_sgd() -> None:
    """The engine finds their per-example gradients by torch.func: exact, as one backward pass per example is."""
    network = encoder()
    check_module(network)
    assert gradient_routes(network) == {"0": Route.MAPPED, "2": Route.MAPPED, "5": Route.MAPPED}
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found = clipped_gradient_sum(network, squares, (images,), views=1, clip_norm=0.1).sum
    for name, expected in by_hand(network, images, clip_norm=0.1).items():
        assert torch.allclose(found[name].double(), expected, rtol=1e-4, atol=1e-7)


def squares(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return module(images).square().sum(1)


def by_hand(network: nn.Module, images: torch.Tensor, *, clip_norm: float) -> dict[str, torch.Tensor]:
    weights = dict(network.named_parameters())
    totals = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for image in images:
        gradients = torch.autograd.grad(network(image[None]).square().sum(), list(weights.values()))
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for name, gradient in zip(weights, gradients, strict=True):
            totals[name] += (gradient * (clip_norm / norm).clamp(max=1)).double()
    return totals


def test_projection_onto_the_ball() -> None:
    codes = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 0.0], [1e38, 1e38]])
    projected = project_onto_ball(codes, 2.5)
    assert projected.dtype == torch.float64
    assert torch.allclose(projected[:2], torch.tensor([[1.5, 2.0], [0.3, 0.4]]).double())
    assert torch.equal(projected[2:5], torch.zeros(3, 2).double())
    assert float(torch.linalg.vector_norm(projected[5])) == pytest.approx(2.5, rel=1e-12)
    layer = BallProjection(2.5).double()
    assert torch.allclose(layer(codes[:3].double()), projected[:3])


def test_group_sort_sorts_pairs_and_needs_an_even_number() -> None:
    sorted_ = GroupSort()(torch.tensor([[1.0, 2.0, 4.0, 3.0]]))
    assert torch.equal(sorted_, torch.tensor([[2.0, 1.0, 4.0, 3.0]]))
    with pytest.raises(InvalidValue, match="even"):
        GroupSort()(torch.zeros(1, 3))


def test_a_shape_that_does_not_fit_the_network() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    assert certify(network, (1, 4, 4)).input_shape == (1, 4, 4)
    with pytest.raises(InvalidValue, match=r"2 \(Linear\) must take what comes before it; found inputs \[18\]"):
        certify(network, (1, 5, 5))
