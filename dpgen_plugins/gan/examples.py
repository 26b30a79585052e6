"""Tiny settings of the GANs, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from typing import Final

from dpgen.generators.base import Generator
from dpgen_plugins.gan.dpgan import Dpgan

_NETWORKS: Final = {"generator": {"latent": 2, "width": 2}, "discriminator": {"width": 4, "halvings": 1}}


def examples() -> list[Generator]:
    """Every method with two channels and two steps; DPGAN pretrained too, with a generator step after each."""
    adversarial = {
        "pretrain": {"steps": 2, "batch": 4},
        "finetune": {"expected_batch": 8, "steps": 2, "views": 2},
        "generator_steps": {"every": 1, "batch": 4, "shown": 2},
    }
    return [Dpgan(Dpgan.Config.model_validate(_NETWORKS | adversarial))]
