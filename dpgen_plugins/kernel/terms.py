"""From settings to the terms of a kernel: pixels, deep features, or both."""

from __future__ import annotations

import math

from torch import nn

from dpgen import validate
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.kernel.features import Term
from dpgen_plugins.kernel.settings import FourierSettings, PublicNetworkSettings
from dpgen_plugins.kernel.spaces import check_public_network, deep_space


def kernel_terms(
    settings: FourierSettings,
    network: PublicNetworkSettings,
    info: DatasetInfo,
    public: PublicDataset | None,
    context: RunContext,
) -> list[Term]:
    """The Gaussian kernels that the settings name, with shares that add up to 1; a deep space is trained now."""
    shares = {"pixels": (1.0, 0.0), "deep": (0.0, 1.0)}.get(
        settings.space, (1 - settings.deep_share, settings.deep_share)
    )
    terms = []
    if shares[0]:
        terms += _terms(nn.Flatten(), math.prod(info.shape), settings.bandwidths, shares[0])
    if shares[1]:
        assert public is not None, "plan refused to go on without it"
        space = deep_space(public, network, context)
        terms += _terms(space, space.dimension, settings.deep_bandwidths, shares[1])
    return terms


def check_terms(settings: FourierSettings, network: PublicNetworkSettings) -> None:
    """Bandwidths are above 0, and a file of weights that is needed is there. Raises: `InvalidValue`."""
    for bandwidth in settings.bandwidths:
        validate.positive(bandwidths=bandwidth)
    for bandwidth in settings.deep_bandwidths:
        validate.positive(deep_bandwidths=bandwidth)
    if settings.space != "pixels":
        check_public_network(network)


def _terms(space: nn.Module, dimension: int, bandwidths: tuple[float, ...], share: float) -> list[Term]:
    return [Term(share / len(bandwidths), space, dimension, bandwidth) for bandwidth in bandwidths]
