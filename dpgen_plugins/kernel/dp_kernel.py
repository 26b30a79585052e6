"""DP-Kernel, mended: the mean embedding of a kernel of several bandwidths, released once with noise of its own."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from pydantic import Field
from torch import nn

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Tags, Task
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.kernel.features import PointFeatures, RandomFeatures
from dpgen_plugins.kernel.matched import MatchedGenerator
from dpgen_plugins.kernel.settings import FourierSettings, MatchedConfig, PublicNetworkSettings
from dpgen_plugins.kernel.terms import check_terms, kernel_terms


class KernelSettings(FourierSettings):
    """The kernel of DP-Kernel: five bandwidths; by random features, or by its values at public images."""

    bandwidths: tuple[float, ...] = Field(default=(1.0, 2.0, 4.0, 8.0, 16.0), min_length=1)
    """of the Gaussian kernels on pixels, in Euclidean distance of [0, 1] values; averaged"""
    points: int = Field(default=0, ge=0)
    """public images at which the noisy embedding is asked, in place of random features; 0 for random features"""


class DpKernelConfig(MatchedConfig):
    """Settings of DP-Kernel."""

    kernel: KernelSettings = Field(default_factory=KernelSettings)
    public_network: PublicNetworkSettings = Field(default_factory=PublicNetworkSettings)


@final
class DpKernel(MatchedGenerator):
    """The embedding f(y) = sum over records of k(x, y), for each class, with Gaussian-process noise; then a generator.

    Privacy: one charge, "mean-embedding" (`Gaussian`). k(x, x) = 1, so one record moves f by 1 in the kernel's own norm
    under add-or-remove-one, by at most 2 under replace-one; so do its finite features, random or by public points.
    Public: frequencies, points, the deep network, pretraining and the declared number of records.

    The paper releases at every step and for every batch the values of f plus noise at the batch's own points. Its
    published code can give no guarantee, so four things differ here. (1) Noise there is a constant for
    differentiation: the direction of each update is the clean gradient. Here the released numbers are all that
    training ever sees. (2) There noise is evaluated at the private points. Here f is asked at public places only
    (`kernel.points`), or in public random coordinates; a Gaussian process has the same law either way. (3) There a
    failed factorisation falls back on clean values, and one record repeated makes it fail. Here there is no fallback.
    (4) There generated labels copy a batch's private labels, unnoised. Here classes are dealt evenly, and counts are
    coordinates of the release. Releasing once is no loss: T releases of fresh features at noise s sqrt(T) tell as much
    as one release of all their features at noise s, and cost the same.
    Source: Jiang, Sun, Yu 2023 (openreview.net/forum?id=GzlDKZlwie); for the noise Hall, Rinaldo, Wasserman 2013 (arXiv
    1203.2570).
    """

    name: ClassVar[str] = "dp_kernel"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[MatchedConfig]] = DpKernelConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Jiang, Sun, Yu: Functional Rényi Differential Privacy for Generative Modeling. NeurIPS 2023",
        "Hall, Rinaldo, Wasserman: Differential Privacy for Functions and Functional Data. JMLR 2013. arXiv 1203.2570",
    )

    config: DpKernelConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the one release from the whole budget."""
        check_terms(self.config.kernel, self.config.public_network)
        return super().plan(task, budget, accountant)

    def _features(self, info: DatasetInfo, public: PublicDataset | None, context: RunContext) -> nn.Module:
        settings = self.config.kernel
        terms = kernel_terms(settings, self.config.public_network, info, public, context)
        if not settings.points:
            generator = context.generator("random Fourier features")
            return RandomFeatures(terms, features=settings.features, generator=generator)
        assert public is not None, "plan refused to go on without it"
        order = torch.randperm(len(public), generator=context.generator("points of the kernel"))
        return PointFeatures(terms, public.images[order[: settings.points]].float() / 255)

    def _needs_public(self) -> str | None:
        settings = self.config.kernel
        if settings.points:
            return f"kernel.points = {settings.points}"
        return None if settings.space == "pixels" else f'kernel.space = "{settings.space}"'
