"""Diffusion methods: PrivImage and DPDM."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The diffusion generators; torch is imported only when they are asked for."""
    from dpgen_plugins.diffusion.dpdm import Dpdm
    from dpgen_plugins.diffusion.privimage import PrivImage

    return [PrivImage, Dpdm]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[dpgen.Generator]:
    """Both methods, tiny."""
    from dpgen_plugins.diffusion.examples import examples

    return examples()
