from __future__ import annotations

import pytest
import torch

from dpgen.data.info import Shape
from dpgen.errors import UnknownName
from dpgen.networks.classifiers import CLASSIFIERS, build_classifier
from dpgen.networks.residual import resnet, resnext, wide_resnet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "channels", "millions"),
    [
        ("resnet", 1, 1.73),  # He et al. 2016: 1.7 M for ResNet-110 and ResNet-164
        ("resnet", 3, 1.70),
        ("wide_resnet", 1, 8.9),  # Zagoruyko and Komodakis 2016, table 4
        ("wide_resnet", 3, 36.5),
        ("resnext", 1, 34.4),  # Xie et al. 2017, table 7: 8 x 64d
    ],
)
def test_sizes_are_the_published_ones(name: str, channels: int, millions: float) -> None:
    network = build_classifier(name, Shape(channels, 32, 32), 10, width=24, generator=generator())
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    "build",
    [
        lambda seed: resnet(1, 3, depth=8, generator=generator(seed)),
        lambda seed: resnet(1, 3, depth=164, generator=generator(seed)),
        lambda seed: wide_resnet(1, 3, depth=10, widen=2, generator=generator(seed)),
        lambda seed: resnext(1, 3, depth=11, widen=1, generator=generator(seed)),
    ],
    ids=["resnet", "bottlenecks", "wide", "groups"],
)
def test_networks_follow_their_public_seed_and_leave_torch_alone(build) -> None:
    before = torch.random.get_rng_state()
    first, again, other = build(0).eval(), build(0).eval(), build(1).eval()
    assert torch.equal(before, torch.random.get_rng_state())
    images = torch.rand(2, 1, 12, 12, generator=generator())
    with torch.no_grad():
        assert first(images).shape == (2, 3)
        assert torch.equal(first(images), again(images))
        assert not torch.equal(first(images), other(images))
        assert torch.allclose(first.head(first.features(images)), first(images))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="resnext"):
        build_classifier("resnet18", Shape(1, 8, 8), 2, width=4, generator=generator())
    assert CLASSIFIERS[0] == "cnn"
