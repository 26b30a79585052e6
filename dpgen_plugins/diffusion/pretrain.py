"""Ordinary training of a diffusion network on public images: no privacy cost."""

from __future__ import annotations

from torch import Tensor

from dpgen.generators.training.public import PRINT_TO_HAND, train
from dpgen.generators.training.settings import TrainingSettings
from dpgen.mechanisms.context import RunContext
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings
from dpgen_plugins.diffusion.space import PIXELS, Space

PHASE = "pretrain"


def pretrain(
    network: DiffusionNetwork,
    images: Tensor,
    labels: Tensor,
    *,
    settings: TrainingSettings,
    noise_levels: NoiseLevelSettings,
    context: RunContext,
    space: Space = PIXELS,
    phase: str = PHASE,
) -> dict[str, Tensor]:
    """Train `network` in place on the diffusion loss and return the moving average of its weights.

    Privacy: none; see `train`. Each image is encoded by `space`.
    """
    return train(
        network,
        training_inputs(noise_levels, space),
        row_losses,
        images,
        labels,
        settings=settings,
        context=context,
        phase=phase,
        variation=PRINT_TO_HAND.times(settings.jitter) if settings.jitter else None,
    )
