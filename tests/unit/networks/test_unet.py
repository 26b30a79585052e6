from __future__ import annotations

import pytest
import torch

from dpgen.errors import InvalidValue
from dpgen.networks.unet import UNet


def network(**changes: object) -> UNet:
    torch.manual_seed(0)
    settings = {"channels": 1, "classes": 3, "base": 8, "multipliers": (1, 2), "attention": (1,), **changes}
    unet = UNet(**settings)  # type: ignore[arg-type]
    for parameter in unet.parameters():  # the zeroed layers hide faults behind an output of zeros
        torch.nn.init.normal_(parameter, std=0.2)
    return unet


@pytest.mark.parametrize(("patch", "side"), [(1, 8), (2, 12), (1, 6)])
def test_keeps_the_shape(patch: int, side: int) -> None:
    x = torch.randn(5, 3, side, side)
    out = network(channels=3, patch=patch)(x, torch.randn(5), torch.tensor([0, 1, 2, 3, 0]))
    assert out.shape == x.shape


def test_rows_never_mix() -> None:
    unet, x, level, labels = network(), torch.randn(4, 1, 8, 8), torch.randn(4), torch.tensor([0, 1, 2, 3])
    together = unet(x, level, labels)
    alone = torch.cat([unet(x[i : i + 1], level[i : i + 1], labels[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_listens_to_noise_level_and_label() -> None:
    unet, x = network(), torch.randn(1, 1, 8, 8)
    reference = unet(x, torch.zeros(1), torch.tensor([0]))
    assert not torch.allclose(reference, unet(x, torch.ones(1), torch.tensor([0])))
    assert not torch.allclose(reference, unet(x, torch.zeros(1), torch.tensor([1])))


def test_a_fresh_network_predicts_zero() -> None:
    fresh = UNet(channels=1, classes=2, base=8)
    assert fresh(torch.randn(2, 1, 8, 8), torch.zeros(2), torch.zeros(2, dtype=torch.int64)).abs().max() == 0


@pytest.mark.parametrize("changes", [{"base": 6}, {"base": 0}, {"patch": 0}, {"classes": 0}])
def test_refuses_impossible_settings(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidValue):
        UNet(**{"channels": 1, "classes": 3, "base": 8, **changes})  # type: ignore[arg-type]
