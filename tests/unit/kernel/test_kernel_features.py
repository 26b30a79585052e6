"""Feature maps of the kernel methods: their norm, their kernel, and that each image's row is its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dpgen.data.datasets import PublicDataset
from dpgen.errors import InvalidValue
from dpgen.mechanisms import RunContext
from dpgen_plugins.kernel.features import PointFeatures, RandomFeatures, Term, squared_distances
from dpgen_plugins.kernel.gradient_features import GradientFeatures
from dpgen_plugins.kernel.settings import PublicNetworkSettings
from dpgen_plugins.kernel.spaces import DeepSpace, deep_space

PIXELS = nn.Flatten()
TERMS = [Term(0.25, PIXELS, 64, 1.0), Term(0.75, PIXELS, 64, 4.0)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=seeded(seed))


def public() -> PublicDataset:
    pixels = (255 * images(40, seed=2)).to(torch.uint8)
    return PublicDataset("toy", pixels, torch.arange(40) % 4, ("a", "b", "c", "d"))


def deep() -> DeepSpace:
    return deep_space(public(), PublicNetworkSettings(steps=2, width=2), RunContext())


def random_features() -> nn.Module:
    return RandomFeatures(TERMS, features=8000, generator=seeded())


def deep_features() -> nn.Module:
    space = deep()
    terms = [Term(0.5, PIXELS, 64, 2.0), Term(0.5, space, space.dimension, 1.0)]
    return RandomFeatures(terms, features=200, generator=seeded())


def point_features() -> nn.Module:
    return PointFeatures(TERMS, images(20, seed=3))


def gradient_features() -> nn.Module:
    return GradientFeatures(64, [5, 4], outputs=3, generator=seeded())


MAPS = [random_features, deep_features, point_features, gradient_features]


def kernel(first: Tensor, second: Tensor) -> Tensor:
    distances = torch.cdist(first.flatten(1).double(), second.flatten(1).double()) ** 2
    return sum(term.share * (-distances / (2 * term.bandwidth**2)).exp() for term in TERMS)  # type: ignore[return-value]


@pytest.mark.parametrize("make", MAPS)
def test_no_image_has_features_longer_than_one(make: Callable[[], nn.Module]) -> None:
    extremes = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    lengths = make()(torch.cat([images(30), extremes])).double().norm(dim=1)
    assert float(lengths.max()) <= 1 + 1e-5
    if make is not point_features:
        torch.testing.assert_close(lengths, torch.ones(32, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", MAPS)
def test_the_features_of_an_image_are_its_own(make: Callable[[], nn.Module]) -> None:
    features, batch = make(), images(6)
    torch.testing.assert_close(features(batch)[2:3], features(batch[2:3]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("make", MAPS)
def test_features_lead_gradients_to_the_image(make: Callable[[], nn.Module]) -> None:
    batch = images(3).requires_grad_()
    (gradient,) = torch.autograd.grad(make()(batch)[:, :5].sum(), batch)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize("make", MAPS)
def test_features_are_public_and_never_trained(make: Callable[[], nn.Module]) -> None:
    assert not [name for name, parameter in make().named_parameters() if parameter.requires_grad]


def test_random_features_approach_the_mixed_kernel() -> None:
    batch, features = images(6), random_features()
    found = features(batch).double()
    torch.testing.assert_close(found @ found.T, kernel(batch, batch), atol=0.06, rtol=0)


def test_a_feature_per_bandwidth_without_the_shares_is_too_long() -> None:
    """Reference fault P20: several bandwidths side by side, each of norm 1, counted as one release."""
    features = RandomFeatures([Term(1.0, PIXELS, 64, b) for b in (1.0, 2.0)], features=40, generator=seeded())
    assert float(features(images(1)).norm()) == pytest.approx(2**0.5, rel=1e-5)


def test_point_features_are_the_kernel_wherever_a_point_is_involved() -> None:
    points = images(20, seed=3)
    features = PointFeatures(TERMS, points)
    found = (features(images(5)) @ features(points).T).double()
    torch.testing.assert_close(found, kernel(images(5), points), atol=2e-3, rtol=0)


def test_noise_on_point_features_is_a_process_of_the_kernels_covariance() -> None:
    """f at the points = L phi, so unit noise on phi has the covariance L L^T = K there."""
    points = images(20, seed=3)
    factor = PointFeatures(TERMS, points).factor.double()
    torch.testing.assert_close(factor @ factor.T, kernel(points, points), atol=1e-3, rtol=0)


def test_repeated_points_are_no_trouble() -> None:
    """Reference fault P5: there one record that comes twice makes the factorisation fail, and the noise go."""
    same = images(1, seed=3).repeat(6, 1, 1, 1)
    lengths = PointFeatures(TERMS, same)(images(4)).norm(dim=1)
    assert bool(lengths.isfinite().all())
    assert float(lengths.max()) <= 1 + 1e-5


def test_gradient_features_are_gradients() -> None:
    features, batch = gradient_features(), images(2)
    weights = {name: buffer.clone().requires_grad_() for name, buffer in features.named_buffers()}
    rows = []
    for image in batch.flatten(1):
        hidden = torch.relu(image @ weights["weight0"].T + weights["bias0"])
        hidden = hidden @ weights["weight1"].T + weights["bias1"]
        hidden = torch.relu(hidden)
        hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + 1e-5).sqrt()
        output = (hidden @ weights["weight2"].T + weights["bias2"]).sum()
        row = torch.cat([g.flatten() for g in torch.autograd.grad(output, list(weights.values()))])
        rows.append(row / row.norm())
    torch.testing.assert_close(features(batch), torch.stack(rows), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("hidden", [[], [0], [4, -1]], ids=str)
def test_a_network_without_hidden_units_is_refused(hidden: list[int]) -> None:
    with pytest.raises(InvalidValue, match="hidden"):
        GradientFeatures(64, hidden, outputs=2, generator=seeded())


def test_deep_features_of_public_images_are_one_apart_at_the_median() -> None:
    rows = deep()(public().images.float() / 255)
    above = torch.triu(torch.ones(40, 40, dtype=torch.bool), diagonal=1)
    median = float(squared_distances(rows, rows)[above].sqrt().median())
    assert median == pytest.approx(1.0, rel=1e-3)


def test_the_public_network_is_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    context = RunContext()
    settings = PublicNetworkSettings(steps=2, width=2)
    first = deep_space(public(), settings, context)
    monkeypatch.setattr("dpgen_plugins.kernel.spaces.train_classifier", None)  # a second training would fail
    second = deep_space(public(), settings, context)
    torch.testing.assert_close(first(images(3)), second(images(3)))
