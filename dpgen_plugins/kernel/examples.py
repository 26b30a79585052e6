"""Tiny settings of the kernel methods, for 8 x 8 images: what the conformance kit looks at."""

from __future__ import annotations

from typing import Final

from dpgen.generators.base import Generator
from dpgen_plugins.kernel.dp_kernel import DpKernel
from dpgen_plugins.kernel.dp_merf import DpMerf
from dpgen_plugins.kernel.dp_ntk import DpNtk

_SHARED: Final = {
    "network": {"width": 2, "latent": 2},
    "matching": {"steps": 2, "batch": 6},
}


def examples() -> list[Generator]:
    """Every method with a generator of two channels and two steps, without public data."""
    return [
        DpMerf(DpMerf.Config.model_validate(_SHARED | {"fourier": {"features": 20}})),
        DpNtk(DpNtk.Config.model_validate(_SHARED | {"tangent": {"hidden": [3]}})),
        DpKernel(DpKernel.Config.model_validate(_SHARED | {"kernel": {"features": 20}})),
    ]
