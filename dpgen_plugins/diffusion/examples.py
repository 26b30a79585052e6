"""Tiny settings of the diffusion methods, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from dpgen.generators.base import Generator
from dpgen_plugins.diffusion.dpdm import Dpdm, DpdmConfig
from dpgen_plugins.diffusion.privimage import PrivImage, PrivImageConfig

_NETWORK = {"base": 4, "multipliers": [1]}
_FINETUNE = {"expected_batch": 8, "steps": 2, "views": 2}
_SAMPLER = {"steps": 2}


def examples() -> list[Generator]:
    """PrivImage and DPDM with four channels, two steps each and a two-step sampler."""
    shared = {"network": _NETWORK, "finetune": _FINETUNE, "sampler": _SAMPLER}
    query = {"votes": 2, "classifier_steps": 1, "classifier_width": 4}
    privimage = shared | {"query": query, "pretrain": {"steps": 2, "batch": 4}}
    return [PrivImage(PrivImageConfig.model_validate(privimage)), Dpdm(DpdmConfig.model_validate(shared))]
