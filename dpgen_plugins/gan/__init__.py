"""Generative adversarial networks: one module per method."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The generators; torch is imported only when they are asked for."""
    from dpgen_plugins.gan.dpgan import Dpgan

    return [Dpgan]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[dpgen.Generator]:
    """Every method, tiny."""
    from dpgen_plugins.gan.examples import examples

    return examples()
