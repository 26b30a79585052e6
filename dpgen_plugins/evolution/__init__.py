"""Evolution methods: a public source of images, and noisy votes on what it makes."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The generators; torch is imported only when they are asked for."""
    from dpgen_plugins.evolution.pe import Pe

    return [Pe]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[dpgen.Generator]:
    """Every method, tiny."""
    from dpgen_plugins.evolution.examples import examples

    return examples()
