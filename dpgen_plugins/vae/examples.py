"""Tiny settings of the VAEs, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from dpgen.generators.base import Generator
from dpgen_plugins.vae.dp_vae import DpVae
from dpgen_plugins.vae.lipschitz_vae import LipschitzVae


def examples() -> list[Generator]:
    """Three code numbers each, and two steps of each training."""
    settings = {
        "vae": {"latent": 3, "width": 4, "halvings": 1},
        "pretrain": {"steps": 2, "batch": 4},
        "finetune": {"expected_batch": 8, "steps": 2, "views": 2},
    }
    certified = {
        "vae": {"latent": 3, "width": 4},
        "pretrain": {"steps": 2, "batch": 4},
        "posterior": {"draws": 6},
    }
    return [
        DpVae(DpVae.Config.model_validate(settings)),
        LipschitzVae(LipschitzVae.Config.model_validate(certified)),
    ]
