"""DP-MERF: one noisy sum of random Fourier features for each class, and a generator trained to have them."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field
from torch import nn

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Tags, Task
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.kernel.features import RandomFeatures
from dpgen_plugins.kernel.matched import MatchedGenerator
from dpgen_plugins.kernel.settings import FourierSettings, MatchedConfig, PublicNetworkSettings
from dpgen_plugins.kernel.terms import check_terms, kernel_terms


class DpMerfConfig(MatchedConfig):
    """Settings of DP-MERF."""

    fourier: FourierSettings = Field(default_factory=FourierSettings)
    public_network: PublicNetworkSettings = Field(default_factory=PublicNetworkSettings)


@final
class DpMerf(MatchedGenerator):
    """Random Fourier features of each image in the block of its class, summed once with noise; a generator matched.

    Privacy: one charge, "mean-embedding" (`Gaussian`). A record adds one vector of length 1, its class's count
    included: L2 sensitivity 1 under add-or-remove-one, 2 under replace-one. Several bandwidths are one vector, not
    several releases. Public: the frequencies, the deep network, pretraining and the declared number of records, which
    alone divides. The plan's price adds to that of every other charge of the run, and to the owner's ledger.
    Source: Harder et al. 2021 (arXiv 2002.11603). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dp_merf"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[MatchedConfig]] = DpMerfConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Harder, Adamczewski, Park: DP-MERF: Differentially Private Mean Embeddings with Random Features for "
        "Practical Privacy-Preserving Data Generation. AISTATS 2021. arXiv 2002.11603",
    )

    config: DpMerfConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the one release from the whole budget."""
        check_terms(self.config.fourier, self.config.public_network)
        return super().plan(task, budget, accountant)

    def _features(self, info: DatasetInfo, public: PublicDataset | None, context: RunContext) -> nn.Module:
        terms = kernel_terms(self.config.fourier, self.config.public_network, info, public, context)
        generator = context.generator("random Fourier features")
        return RandomFeatures(terms, features=self.config.fourier.features, generator=generator)

    def _needs_public(self) -> str | None:
        space = self.config.fourier.space
        return None if space == "pixels" else f'fourier.space = "{space}"'
