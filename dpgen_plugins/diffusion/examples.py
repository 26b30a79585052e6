"""Tiny settings of the diffusion methods, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from typing import Final

from dpgen.generators.base import Generator
from dpgen_plugins.diffusion.dp_feta import DpFeta
from dpgen_plugins.diffusion.dp_ldm import DpLdm
from dpgen_plugins.diffusion.dp_lora import DpLora
from dpgen_plugins.diffusion.dpdm import Dpdm
from dpgen_plugins.diffusion.feta_pro import FetaPro
from dpgen_plugins.diffusion.pdp_diffusion import PdpDiffusion
from dpgen_plugins.diffusion.privimage import PrivImage

_SHARED: Final = {
    "network": {"base": 4, "multipliers": [1]},
    "finetune": {"expected_batch": 8, "steps": 2, "views": 2},
    "sampler": {"steps": 2},
}
_PRETRAIN: Final = {"pretrain": {"steps": 2, "batch": 4}}
_LATENT: Final = {"space": "latent", "autoencoder": {"steps": 2, "batch": 4, "width": 4, "codes": 2}}
_QUERY: Final = {"query": {"votes": 2, "classifier_steps": 1, "classifier_width": 4}}
_CENTRAL: Final = {
    "central": {"rounds": 2, "expected_batch": 12},
    "warm_up": {"steps": 2, "batch": 4},
}
_FREQUENCY: Final = {
    "frequency": {"features": 20, "steps": 2, "batch": 6, "width": 2, "latent": 2, "samples": 8},
    "frequency_warm_up": {"steps": 2, "batch": 4},
}


def examples() -> list[Generator]:
    """Every method with four channels, two steps each and a two-step sampler; DP-LDM in latent space."""
    return [
        PrivImage(PrivImage.Config.model_validate(_SHARED | _PRETRAIN | _QUERY)),
        Dpdm(Dpdm.Config.model_validate(_SHARED)),
        PdpDiffusion(PdpDiffusion.Config.model_validate(_SHARED | _PRETRAIN)),
        DpLdm(DpLdm.Config.model_validate(_SHARED | _PRETRAIN | _LATENT)),
        DpLora(DpLora.Config.model_validate(_SHARED | _PRETRAIN | {"adapters": {"rank": 2}})),
        DpFeta(DpFeta.Config.model_validate(_SHARED | _CENTRAL)),
        FetaPro(FetaPro.Config.model_validate(_SHARED | _CENTRAL | _FREQUENCY)),
    ]
