"""Generative adversarial networks: one module per method."""

from __future__ import annotations

from typing import Any

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The generators; torch is imported only when they are asked for."""
    from dpgen_plugins.gan.dpgan import Dpgan
    from dpgen_plugins.gan.gs_wgan import GsWgan

    return [Dpgan, GsWgan]


@dpgen.hookimpl
def dpgen_register_mechanisms() -> list[type[dpgen.Mechanism[Any]]]:
    """What GS-WGAN releases of its critics."""
    from dpgen_plugins.gan.sharded_critics import ShardedCritics

    return [ShardedCritics]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[object]:
    """Every method and mechanism, tiny."""
    from dpgen_plugins.gan.examples import examples, sharded_critics

    return [*examples(), sharded_critics(info)]
