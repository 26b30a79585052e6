"""A U-Net of Hugging Face's library diffusers as the network of a diffusion method."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any, Final, final

import torch.nn.functional as F
from torch import Tensor, nn

from dpgen.errors import ConfigError
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.settings import NetworkSettings

OURS: Final = (
    "sample_size",
    "in_channels",
    "out_channels",
    "class_embed_type",
    "num_class_embeds",
    "num_train_timesteps",
    "time_embedding_type",
    "center_input_sample",
    "dropout",
)
"""Arguments of `UNet2DModel` that the method decides: shapes, classes and noise levels come from it; dropout would be
randomness that no noise source keys."""


@final
class DiffusersUNet(DiffusionNetwork):
    """`diffusers.UNet2DModel` with a class table, in the sizes of `NetworkSettings`.

    Its convolutions, linear layers and group norms all have exact per-example gradients by rule, attention included.
    Args: as those of `dpgen.networks.unet.UNet`, taken from `settings`; `settings.diffusers` overrides the arguments of
    `UNet2DModel` that are not in `OURS`.
    Raises: `ConfigError` without the library, or for an argument that it does not take or the method decides.
    """

    def __init__(self, settings: NetworkSettings, *, channels: int, classes: int) -> None:
        super().__init__()
        width = settings.base * settings.embedding
        self.patch, self.multiple = settings.patch, settings.patch * 2 ** (len(settings.multipliers) - 1)
        self.class_table = nn.Embedding(classes + 1, width)
        self.network = _unet(_arguments(settings, channels * settings.patch**2, width))

    def forward(self, x: Tensor, noise_condition: Tensor, labels: Tensor) -> Tensor:
        """See `DiffusionNetwork.forward`."""
        folded = F.pixel_unshuffle(x, self.patch)
        predicted: Tensor = self.network(folded, noise_condition, self.class_table(labels), return_dict=False)[0]
        return F.pixel_shuffle(predicted, self.patch)


def _arguments(settings: NetworkSettings, channels: int, width: int) -> dict[str, Any]:
    """Of `UNet2DModel`: the sizes of our own U-Net, then what the settings override."""
    attends = ["Attn" if level in settings.attention else "" for level in range(len(settings.multipliers))]
    chosen: dict[str, Any] = {
        "block_out_channels": tuple(settings.base * multiplier for multiplier in settings.multipliers),
        "down_block_types": tuple(f"{attention}DownBlock2D" for attention in attends),
        "up_block_types": tuple(f"{attention}UpBlock2D" for attention in reversed(attends)),
        "layers_per_block": settings.blocks,
        "norm_num_groups": math.gcd(32, settings.base // 4),
        "attention_head_dim": math.gcd(64, settings.base),
    }
    _refuse_ours(settings.diffusers)
    fixed = {
        "in_channels": channels,
        "out_channels": channels,
        "class_embed_type": "identity",  # the table lies outside, where the methods look for it
        "time_embedding_dim": width,
    }
    return chosen | dict(settings.diffusers) | fixed


def _refuse_ours(given: Mapping[str, Any]) -> None:
    taken = sorted(set(given) & {*OURS, "time_embedding_dim"})
    if taken:
        raise ConfigError(
            f"network.diffusers: expected arguments of UNet2DModel that the method leaves open; found "
            f"{', '.join(taken)}. Leave them out; sizes are set by network.base, multipliers, blocks and embedding."
        )


def _unet(arguments: Mapping[str, Any]) -> nn.Module:
    try:
        library = importlib.import_module("diffusers")
    except ImportError as error:
        raise ConfigError(
            'network.kind = "diffusers" needs the library diffusers, which is not installed. Install it with '
            '`pip install "dpgen[diffusers]"`, or leave network.kind out.'
        ) from error
    try:
        network: nn.Module = library.UNet2DModel(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"network.diffusers: expected arguments of UNet2DModel; it says: {error}. Correct them."
        ) from error
    return network
