"""Low-rank adapters on the layers of a trained network: few weights to train, merged into the network at the end.

A layer's weight W is frozen and W + (alpha / rank) B A takes its place, with A `[rank, inputs]` and B
`[outputs, rank]`. A convolution's A is a convolution of the same kernel onto `rank` channels, its B one of kernel 1.
Both are plain layers, so their per-example gradients are exact. Source: Hu et al. 2022 (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.parts import chosen
from dpgen_plugins.diffusion.settings import AdapterSettings

CLASS_TABLE = "class_table"
"""Trained in full, beside the adapters: the private classes are new to the network."""


@final
class LowRank(nn.Module):
    """A frozen layer plus its adapter; at first equal to the layer, since B starts at 0."""

    def __init__(self, layer: nn.Linear | nn.Conv2d, *, rank: int, alpha: float) -> None:
        super().__init__()
        outputs, inputs = layer.weight.flatten(1).shape
        self.layer, self.scale = layer.requires_grad_(False), alpha / rank
        self.a: nn.Linear | nn.Conv2d
        self.b: nn.Linear | nn.Conv2d
        self.a, self.b = _factors(layer, min(rank, outputs, inputs))
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's."""
        adapted: Tensor = self.layer(x) + self.scale * self.b(self.a(x))
        return adapted

    def merged(self) -> nn.Linear | nn.Conv2d:
        """The ordinary layer that computes the same."""
        with torch.no_grad():
            product = self.b.weight.flatten(1) @ self.a.weight.flatten(1)
            self.layer.weight += self.scale * product.view_as(self.layer.weight)
        return self.layer.requires_grad_(True)


def _factors(layer: nn.Linear | nn.Conv2d, rank: int) -> tuple[nn.Linear, nn.Linear] | tuple[nn.Conv2d, nn.Conv2d]:
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
    assert layer.groups == 1, "the U-Net has no grouped convolutions"
    assert not isinstance(layer.padding, str), "the U-Net pads by numbers"
    a = nn.Conv2d(
        layer.in_channels,
        rank,
        (layer.kernel_size[0], layer.kernel_size[1]),
        stride=(layer.stride[0], layer.stride[1]),
        padding=(layer.padding[0], layer.padding[1]),
        bias=False,
    )
    return a, nn.Conv2d(rank, layer.out_channels, 1, bias=False)


def attach_adapters(network: DiffusionNetwork, settings: AdapterSettings, *, seed: int) -> None:
    """Freeze `network` in place, give the chosen layers adapters from public `seed`, and leave those and the class
    table to be trained.

    Raises: `InvalidValue` for a target that there is not.
    """
    layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)}
    targets = chosen(layers, settings.targets, setting="adapters.targets")
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name in targets:
            adapter = LowRank(layers[name], rank=settings.rank, alpha=settings.alpha)
            _put(network, name, adapter.to(layers[name].weight.device))
    network.get_submodule(CLASS_TABLE).requires_grad_(True)


def merged_weights(network: DiffusionNetwork, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` of a network with adapters as those of the ordinary network that computes the same."""
    network = copy.deepcopy(network)
    network.load_state_dict(dict(weights))
    for name, part in list(network.named_modules()):
        if isinstance(part, LowRank):
            _put(network, name, part.merged())
    return network.state_dict()


def _put(network: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, part)
