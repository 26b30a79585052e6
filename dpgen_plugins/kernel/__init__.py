"""Kernel methods: one charged sum of bounded features, then free training."""

from __future__ import annotations

import dpgen


@dpgen.hookimpl
def dpgen_register_generators() -> list[type[dpgen.Generator]]:
    """The generators; torch is imported only when they are asked for."""
    from dpgen_plugins.kernel.dp_kernel import DpKernel
    from dpgen_plugins.kernel.dp_merf import DpMerf
    from dpgen_plugins.kernel.dp_ntk import DpNtk

    return [DpMerf, DpNtk, DpKernel]


@dpgen.hookimpl
def dpgen_conformance_examples(info: dpgen.DatasetInfo) -> list[dpgen.Generator]:
    """Every method, tiny."""
    from dpgen_plugins.kernel.examples import examples

    return examples()
