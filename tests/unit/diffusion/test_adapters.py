"""Adapters start as nothing, end as nothing but an ordinary network, and move an image's sum by one clip norm."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dpgen.errors import InvalidValue
from dpgen.mechanisms.dp_sgd import Route, clipped_gradient_sum, gradient_routes
from dpgen.networks.unet import UNet
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.adapters import LowRank, attach_adapters, merged_weights
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import AdapterSettings, NoiseLevelSettings

EVERYWHERE = AdapterSettings(rank=2, alpha=3.0, targets=("*",))
VIEWS, CLIP = 8, 1e-3


def jittered(network: nn.Module, seed: int = 1) -> nn.Module:
    """Nothing at zero, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def unet() -> UNet:
    torch.manual_seed(0)
    network = UNet(channels=1, classes=3, base=8, multipliers=(1, 2), attention=(1,))
    jittered(network)
    return network


def output(network: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        result: Tensor = network(
            torch.randn(4, 1, 8, 8, generator=generator), torch.rand(4, generator=generator), torch.arange(4) % 3
        )
    return result


def test_fresh_adapters_change_nothing() -> None:
    plain, adapted = unet(), unet()
    attach_adapters(adapted, EVERYWHERE, seed=0)
    first = output(plain)
    assert torch.equal(output(adapted), first)


@pytest.mark.parametrize("targets", [("*",), ("*.attention", "embed1"), ("*.conv1", "stem")])
def test_merged_weights_are_an_ordinary_network_of_the_same_function(targets: tuple[str, ...]) -> None:
    network = unet()
    attach_adapters(network, EVERYWHERE.model_copy(update={"targets": targets}), seed=0)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            jittered(network.get_submodule(name.rsplit(".", 1)[0]), seed=len(name))
    weights = copy.deepcopy(network.state_dict())
    adapted, ordinary = output(network), unet()
    ordinary.load_state_dict(merged_weights(network, weights))
    torch.testing.assert_close(output(ordinary), adapted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(output(unet()), adapted, atol=1e-3), "the adapters do something"
    assert all(torch.equal(network.state_dict()[name], weights[name]) for name in weights), "merging works on a copy"


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.Conv2d(3, 5, 1)])
def test_a_merged_layer_equals_its_adapter(layer: nn.Linear | nn.Conv2d) -> None:
    adapter = LowRank(copy.deepcopy(layer), rank=2, alpha=5.0)
    nn.init.normal_(adapter.b.weight)
    rows = torch.randn(2, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 8, 8)
    expected = adapter(rows)
    torch.testing.assert_close(adapter.merged()(rows), expected, rtol=1e-4, atol=1e-5)


def test_only_adapters_and_the_class_table_are_trained_by_exact_rules() -> None:
    network = unet()
    attach_adapters(network, AdapterSettings(), seed=0)
    trained = {name.rsplit(".", 2)[-2] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {"a", "b", "class_table"}
    assert set(gradient_routes(network).values()) == {Route.RULE}


def test_equal_seeds_give_equal_adapters() -> None:
    networks = [unet() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        attach_adapters(network, EVERYWHERE, seed=seed)
    first, same, other = (network.state_dict()["embed1.a.weight"] for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_target_that_there_is_not() -> None:
    with pytest.raises(InvalidValue, match=r"adapters\.targets .*to_q.*query_key_value"):
        attach_adapters(unet(), AdapterSettings(targets=("to_q",)), seed=0)


def norm_of_one_image(*, views_clipped_together: int) -> float:
    network = unet()
    attach_adapters(network, AdapterSettings(), seed=0)
    random = PublicRows(VIEWS, torch.Generator().manual_seed(0), torch.device("cpu"))
    image, label = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(5)), torch.tensor([1])
    rows = training_inputs(NoiseLevelSettings())(image, label, views=VIEWS, random=random)
    found = clipped_gradient_sum(network, row_losses, rows, views=views_clipped_together, clip_norm=CLIP).sum
    return float(torch.cat([tensor.flatten() for tensor in found.values()]).norm())


def test_one_image_moves_the_sum_by_one_clip_norm_whatever_its_views() -> None:
    assert norm_of_one_image(views_clipped_together=VIEWS) <= CLIP * (1 + 1e-6)


def test_views_clipped_one_by_one_move_it_by_more() -> None:
    """The broken twin, fault P1 of the published code: noise for one clip norm, and an image that adds several."""
    assert norm_of_one_image(views_clipped_together=1) > 2 * CLIP
