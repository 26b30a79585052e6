"""DP-SGD on the diffusion loss."""

from __future__ import annotations

from torch import Tensor

from dpgen.budget import Plan
from dpgen.data.datasets import PrivateDataset
from dpgen.generators.training.private import train_privately
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings
from dpgen_plugins.diffusion.space import PIXELS, Space


def finetune(
    network: DiffusionNetwork,
    private: PrivateDataset,
    plan: Plan,
    *,
    settings: FinetuneSettings,
    noise_levels: NoiseLevelSettings,
    space: Space = PIXELS,
) -> dict[str, Tensor]:
    """Train from the weights of `network` by DP-SGD and return the moving average of the weights.

    What requires no gradient stays as it is, and is returned with the rest. Each image is encoded by `space`, alone.

    Privacy: the charge that `plan` holds under "finetune"; add-or-remove-one L2 sensitivity `clip_norm` per step.
    """
    inputs = training_inputs(noise_levels, space)
    return train_privately(network, private, plan, inputs=inputs, loss=row_losses, settings=settings)
