"""A network of the library diffusers: by rule, exact, one image a row; refused where it does not fit."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from torch import Tensor

from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import ConfigError, InvalidValue
from dpgen.mechanisms.dp_sgd import Route, check_module, clipped_gradient_sum, gradient_routes
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen.noise import PublicRows
from dpgen_plugins.diffusion.adapters import attach_adapters, merged_weights
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.settings import AdapterSettings, NetworkSettings, NoiseLevelSettings

needs_diffusers = pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="diffusers is not installed")
INFO = DatasetInfo(shape=Shape(1, 8, 8), class_names=("a", "b", "c"), nominal_records=24)
SMALL = NetworkSettings(kind="diffusers", base=8, multipliers=(1, 2), attention=(1,))


def made(settings: NetworkSettings = SMALL) -> DiffusionNetwork:
    return fresh_network(settings, INFO, seed=0)


def rows(views: int) -> tuple[Tensor, ...]:
    draws = torch.Generator().manual_seed(3)
    images, labels = torch.rand(3, 1, 8, 8, generator=draws), torch.tensor([0, 1, 2])
    random = PublicRows(3 * views, draws, torch.device("cpu"))
    return training_inputs(NoiseLevelSettings())(images, labels, views=views, random=random)


@needs_diffusers
def test_every_part_has_a_rule() -> None:
    network = made()
    check_module(network)
    assert set(gradient_routes(network).values()) == {Route.RULE}


@needs_diffusers
def test_clipped_gradients_are_those_of_one_example_after_another() -> None:
    network, clip, views = made(), 0.5, 2
    inputs = rows(views)
    found = clipped_gradient_sum(network, row_losses, inputs, views=views, clip_norm=clip).sum
    names, weights = zip(*network.named_parameters(), strict=True)
    expected = [torch.zeros_like(weight) for weight in weights]
    for n in range(3):
        loss = row_losses(network, *(part[n * views : (n + 1) * views] for part in inputs)).mean()
        own = torch.autograd.grad(loss, weights)
        norm = torch.sqrt(sum(g.double().square().sum() for g in own))
        for total, g in zip(expected, own, strict=True):
            total += g * min(1.0, clip / float(norm))
    for name, total in zip(names, expected, strict=True):
        torch.testing.assert_close(found[name].float(), total, rtol=2e-4, atol=2e-6)


@needs_diffusers
def test_an_image_is_predicted_alone() -> None:
    network, draws = made(), torch.Generator().manual_seed(1)
    x, level, labels = (
        torch.randn(4, 1, 8, 8, generator=draws),
        torch.rand(4, generator=draws),
        torch.tensor([0, 1, 2, 3]),
    )
    together = network(x, level, labels)
    alone = torch.cat([network(x[n : n + 1], level[n : n + 1], labels[n : n + 1]) for n in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(x, level, labels.flip(0)), together, atol=1e-4), "the class matters"
    assert not torch.allclose(network(x, level + 1, labels), together, atol=1e-4), "the noise level matters"


@needs_diffusers
def test_sizes_are_those_of_the_settings_and_arguments_override_them() -> None:
    assert made(SMALL.model_copy(update={"patch": 2})).multiple == 4
    wide = SMALL.model_copy(update={"diffusers": {"layers_per_block": 3}})
    assert sum(p.numel() for p in made(wide).parameters()) > sum(p.numel() for p in made().parameters())
    with pytest.raises(InvalidValue, match="divide"):
        made(SMALL.model_copy(update={"multipliers": (1, 1, 1, 1, 1)}))


@needs_diffusers
def test_adapters_merge_into_it() -> None:
    network = made()
    targets = ("*.to_q", "*.to_k", "*.to_v", "*.to_out.0")
    attach_adapters(network, AdapterSettings(rank=2, targets=targets), seed=0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("b.weight"):
                weight += 0.1
    draws = torch.Generator().manual_seed(1)
    x, level, labels = torch.randn(2, 1, 8, 8, generator=draws), torch.rand(2, generator=draws), torch.tensor([0, 1])
    plain = made()
    plain.load_state_dict(merged_weights(network, network.state_dict()))
    torch.testing.assert_close(plain(x, level, labels), network(x, level, labels), rtol=1e-4, atol=1e-5)


@needs_diffusers
@pytest.mark.parametrize("argument", ["in_channels", "dropout", "class_embed_type"])
def test_what_the_method_decides_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        made(SMALL.model_copy(update={"diffusers": {argument: 1}}))


@needs_diffusers
def test_an_argument_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"network\.diffusers"):
        made(SMALL.model_copy(update={"diffusers": {"layer_per_block": 1}}))


def test_arguments_for_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.diffusers"):
        NetworkSettings(diffusers={"layers_per_block": 3})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match=r"dpgen\[diffusers\]"):
        made()
