"""A certificate is never below the exact norm of the unrolled map, nor below the strongest attack found."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dpgen.mechanisms.lipschitz import (
    AolConv2d,
    AolLinear,
    BallProjection,
    Centre,
    Concatenation,
    GroupSort,
    Residual,
    Scale,
    certify,
    norms,
)
from dpgen.mechanisms.lipschitz.growth import Growth

SLOW = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def exact_norm(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """Of an affine map: the largest singular value of the unrolled matrix, in float64."""
    size = math.prod(shape)
    basis, zero = torch.eye(size, dtype=torch.float64).reshape(size, *shape), torch.zeros(1, *shape).double()
    with torch.no_grad():
        columns = layer.double()(basis) - layer.double()(zero)
    return float(torch.linalg.matrix_norm(columns.flatten(1), 2))


@st.composite
def linear_layers(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A linear, convolutional or pooling layer with random settings and weights, and an input shape that it takes."""
    torch.manual_seed(draw(st.integers(0, 10_000)))
    groups, side = draw(st.sampled_from([1, 1, 2])), draw(st.integers(4, 7))
    inputs, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel, stride, padding = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    conv = {"stride": stride, "padding": padding, "groups": groups}
    transposed = conv | {"output_padding": draw(st.integers(0, stride - 1)), "padding": min(padding, (kernel - 1) // 2)}
    circular = {"padding": 1, "padding_mode": "circular", "stride": stride, "groups": groups}
    made: list[nn.Module] = [
        nn.Linear(inputs, outputs),
        nn.Conv2d(inputs, outputs, kernel, **conv),
        nn.Conv2d(inputs, outputs, 2, dilation=2, **conv),
        nn.Conv2d(inputs, outputs, 3, **circular),
        nn.ConvTranspose2d(inputs, outputs, kernel, **transposed),
        nn.AvgPool2d(kernel, stride, padding=min(padding, kernel // 2)),
        nn.AdaptiveAvgPool2d(1),
        nn.Upsample(scale_factor=stride),
        AolLinear(inputs, outputs),
        AolConv2d(inputs, outputs, kernel, stride),
        Centre(),
    ]
    layer = draw(st.sampled_from(made))
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(std=draw(st.sampled_from([0.1, 1.0, 30.0])))
    flat = isinstance(layer, (nn.Linear, AolLinear))
    return layer, (inputs,) if flat else (inputs, side, draw(st.integers(4, 7)))


@given(linear_layers())
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_never_below_the_exact_norm_of_a_layer(case: tuple[nn.Module, tuple[int, ...]]) -> None:
    layer, shape = case
    bound, norm = certify(layer, shape).bound, exact_norm(layer, shape)
    assert bound >= norm
    assert bound <= max(1e-9, 4 * norm * (1 + 1e-5))  # and of use
    if isinstance(layer, (AolLinear, AolConv2d)):
        assert norm <= 1 + 1e-6  # by construction, whatever the weights


@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 12), st.booleans())
@SLOW
def test_gram_iteration_is_above_and_close_and_power_iteration_is_below(seed, rows, columns, is_complex) -> None:
    generator = torch.Generator().manual_seed(seed)
    kind = torch.complex128 if is_complex else torch.float64
    matrices = torch.randn(3, rows, columns, dtype=kind, generator=generator)
    exact = float(torch.linalg.matrix_norm(matrices, 2).max())
    assert exact <= norms.matrix_norm(matrices) <= exact * 1.001
    vector = torch.randn(columns, dtype=kind, generator=generator)
    for _ in range(2):  # what torch's spectral_norm does: an estimate from below, no certificate
        vector = matrices[0].mH @ (matrices[0] @ vector)
    ratio = torch.linalg.vector_norm(matrices[0] @ vector) / torch.linalg.vector_norm(vector)
    assert float(ratio) <= float(torch.linalg.matrix_norm(matrices[0], 2)) * (1 + 1e-12)


@st.composite
def networks(draw: st.DrawFn) -> nn.Sequential:
    """Small encoders of 2 x 6 x 6 images out of everything on the whitelist."""
    torch.manual_seed(draw(st.integers(0, 10_000)))
    activation = st.sampled_from(
        [
            nn.ReLU,
            nn.Tanh,
            nn.SiLU,
            nn.GELU,
            nn.Sigmoid,
            GroupSort,
            Centre,
            lambda: nn.LeakyReLU(1.5),
            lambda: Scale(0.7),
        ]
    )
    inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), draw(activation)())
    blocks = [
        lambda: Residual(inner),
        lambda: nn.Sequential(Concatenation(nn.Conv2d(4, 2, 1), AolConv2d(4, 2, 3)), draw(activation)()),
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.MaxPool2d(2)),
        lambda: nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 4, 3, padding=1)),
        lambda: nn.Sequential(nn.PixelShuffle(2), nn.PixelUnshuffle(2)),
    ]
    middle = draw(st.lists(st.sampled_from(blocks), max_size=2))
    head = [AolLinear(16, 6), nn.Softmax(dim=1)] if draw(st.booleans()) else [nn.Linear(16, 6), BallProjection(1.0)]
    stem = [AolConv2d(2, 4, 3, 1), draw(activation)()]
    return nn.Sequential(*stem, *(make() for make in middle), nn.AvgPool2d(3), nn.Flatten(), *head)


def steepest(network: nn.Module, points: Tensor) -> float:
    """The largest local stretch at any of `points`, after ascent along it: the strongest attack tried."""
    best = 0.0
    for point in points:
        for _ in range(2):
            jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None])[0], point)
            _, values, directions = torch.linalg.svd(jacobian.flatten(1), full_matrices=False)
            best = max(best, float(values[0]))
            step = directions[0].view_as(point)
            first, second = (network(at[None]).detach() for at in (point, point + 0.3 * step))
            best = max(best, float(torch.linalg.vector_norm(second - first)) / 0.3)
            point = point + 0.3 * step
    return best


@given(networks())
@settings(SLOW, max_examples=10)
def test_never_below_the_strongest_attack_on_a_trained_network(network: nn.Sequential) -> None:
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(4):  # trained to stretch: noise is told apart
        images = torch.rand(16, 2, 6, 6, generator=generator)
        loss = -network(images).var(0).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    certificate = certify(network, (2, 6, 6))
    points = torch.randn(2, 2, 6, 6, generator=generator).double()
    assert steepest(network.double(), points) <= certificate.bound


@given(networks(), st.floats(0.01, 100))
@SLOW
def test_computed_codes_stray_no_further_than_stated(network: nn.Sequential, size: float) -> None:
    """Float32 is to float64 what float64 is to the reals: 2^29 times coarser."""
    growth = certify(network, (2, 6, 6)).growth
    images = torch.randn(8, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        exact = network.double()((size * images).double())
        rough = network.float()(size * images).double()
    radius = float(torch.linalg.vector_norm(size * images.flatten(1), dim=1).max())
    strayed = float(torch.linalg.vector_norm(exact - rough, dim=1).max())
    assert strayed <= 2.0**29 * growth.error(radius)  # the weights are float32 already
    assert bool((torch.linalg.vector_norm(exact, dim=1) <= growth.lipschitz * radius + growth.offset).all())


def test_composition_is_what_the_pieces_say() -> None:
    whole = Growth(2.0, 1.0, 1e-9, 1e-10).then(Growth(3.0, 0.5, 1e-9, 0.0))
    assert (whole.lipschitz, whole.offset) == (6.0, 3.5)
    assert whole.error(4.0) == pytest.approx(3 * (4e-9 + 1e-10) + 1e-9 * (2 * 4 + 1), rel=1e-6)
