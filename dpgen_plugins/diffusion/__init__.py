"""Diffusion methods: one engine, one module per method."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The diffusion generators; torch is imported only when they are asked for."""
    from dpgen_plugins.diffusion.dp_feta import DpFeta
    from dpgen_plugins.diffusion.dp_ldm import DpLdm
    from dpgen_plugins.diffusion.dp_lora import DpLora
    from dpgen_plugins.diffusion.dpdm import Dpdm
    from dpgen_plugins.diffusion.feta_pro import FetaPro
    from dpgen_plugins.diffusion.pdp_diffusion import PdpDiffusion
    from dpgen_plugins.diffusion.privimage import PrivImage

    return [PrivImage, Dpdm, PdpDiffusion, DpLdm, DpLora, DpFeta, FetaPro]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[dpgen.Generator]:
    """Every method, tiny."""
    from dpgen_plugins.diffusion.examples import examples

    return examples()
