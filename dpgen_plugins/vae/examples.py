"""Tiny settings of the VAEs, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from dpgen.generators.base import Generator
from dpgen_plugins.vae.dp_vae import DpVae


def examples() -> list[Generator]:
    """DP-VAE with three code numbers and two steps of each training."""
    settings = {
        "vae": {"latent": 3, "width": 4, "halvings": 1},
        "pretrain": {"steps": 2, "batch": 4},
        "finetune": {"expected_batch": 8, "steps": 2, "views": 2},
    }
    return [DpVae(DpVae.Config.model_validate(settings))]
