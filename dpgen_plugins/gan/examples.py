"""Tiny settings of the GANs, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from typing import Final

from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Generator
from dpgen.mechanisms.context import public_generator
from dpgen_plugins.gan.dpgan import Dpgan
from dpgen_plugins.gan.gs_wgan import GsWgan
from dpgen_plugins.gan.networks import fresh_discriminator, fresh_generator
from dpgen_plugins.gan.settings import DiscriminatorSettings, GeneratorSettings
from dpgen_plugins.gan.sharded_critics import ShardedCritics

_NETWORKS: Final = {"generator": {"latent": 2, "width": 2}, "discriminator": {"width": 4, "halvings": 1}}


_ADVERSARIAL: Final = {
    "pretrain": {"steps": 2, "batch": 4},
    "finetune": {"expected_batch": 8, "steps": 2, "views": 2},
    "generator_steps": {"every": 1, "batch": 4, "shown": 2},
}
_SHARDED: Final = {
    "pretrain": {"steps": 2, "batch": 4},
    "generator_steps": {"every": 1, "batch": 4, "shown": 2},
    "shards": {"count": 4, "per_step": 2, "batch": 3, "warm_up": 1},
    "slopes": {"expected_shards": 2, "steps": 3, "batch": 3},
}


def examples() -> list[Generator]:
    """Every method with two channels and a few steps; DPGAN with a generator step after each."""
    return [
        Dpgan(Dpgan.Config.model_validate(_NETWORKS | _ADVERSARIAL)),
        GsWgan(GsWgan.Config.model_validate(_NETWORKS | _SHARDED)),
    ]


def sharded_critics(info: DatasetInfo) -> ShardedCritics:
    """Four shards of which half join a step."""
    random = public_generator(0, "example")
    return ShardedCritics(
        generator=fresh_generator(GeneratorSettings(latent=2, width=2), info, random),
        critic=fresh_discriminator(DiscriminatorSettings(width=4, halvings=1), info, random),
        shards=4,
        sampling_probability=0.5,
        noise_multiplier=2.0,
        clip_norm=1.0,
        steps=3,
        batch=3,
        learning_rate=1e-3,
        critic_learning_rate=1e-3,
        critic_batch=3,
        critics_per_step=2,
        warm_up=1,
        cell=2,
        shown=2,
    )
