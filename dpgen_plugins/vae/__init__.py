"""Variational autoencoders: privacy by DP-SGD, or by the model's own sampling noise."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The generators; torch is imported only when they are asked for."""
    from dpgen_plugins.vae.dp_vae import DpVae
    from dpgen_plugins.vae.lipschitz_vae import LipschitzVae

    return [DpVae, LipschitzVae]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[object]:
    """Every method, tiny."""
    from dpgen_plugins.vae.examples import examples

    return [*examples()]
