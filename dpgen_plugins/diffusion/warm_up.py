"""DP-FETA's warm-up: ordinary training of the diffusion network on released images, varied at random."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from dpgen.generators.training.public import train
from dpgen.mechanisms.context import RunContext
from dpgen.networks.augment import Augmentation
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion.edm import row_losses, training_inputs
from dpgen_plugins.diffusion.settings import NoiseLevelSettings, WarmUpSettings

PHASE: Final = "warm-up"
RAND_AUGMENT: Final = Augmentation(rotation=0.157, shear=0.09, shift=0.136, contrast=0.27)
"""The ranges of RandAugment (Cubuk et al. 2020, arXiv 1909.13719) at magnitude 9 of 30, drawn uniformly and together.

The published code draws two operations for each image from a longer list; its posterising, solarising and equalising
are left out, for they make digits and clothes that no data set holds.
"""


def warm_up(
    network: DiffusionNetwork,
    images: Tensor,
    labels: Tensor,
    *,
    settings: WarmUpSettings,
    noise_levels: NoiseLevelSettings,
    context: RunContext,
) -> dict[str, Tensor]:
    """Train `network` in place on varied `images` and return the moving average of its weights.

    Privacy: none; `images` (uint8 `[n, c, h, w]`) and `labels` (int64 `[n]`) are released already. See `train`.
    """
    return train(
        network,
        training_inputs(noise_levels),
        row_losses,
        images,
        labels,
        settings=settings,
        context=context,
        phase=PHASE,
        variation=RAND_AUGMENT.times(settings.jitter) if settings.jitter else None,
    )
