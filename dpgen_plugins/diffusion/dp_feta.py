"""DP-FETA: from easy to hard. Learn noisy central images of each class first, then the private images by DP-SGD."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

from pydantic import Field

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.generators.base import GeneratorConfig, Tags, Task
from dpgen.generators.training.private import LABEL, finetune_beside
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.diffusion import central_images
from dpgen_plugins.diffusion.diffusion_generator import DiffusionConfig, DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.settings import (
    CentralImageSettings,
    WarmUpSettings,
)
from dpgen_plugins.diffusion.warm_up import PHASE, warm_up


class DpFetaConfig(DiffusionConfig):
    """Settings of DP-FETA."""

    central: CentralImageSettings = Field(default_factory=CentralImageSettings)
    warm_up: WarmUpSettings = Field(default_factory=WarmUpSettings)
    finetune: FinetuneSettings = Field(default_factory=lambda: FinetuneSettings(views=4))


@final
class DpFeta(DiffusionGenerator):
    """Warm-up on noisy central images, then DP-SGD; no public data.

    Privacy: charges "central-images" (`PoissonSampled(Gaussian)` composed over the rounds; one record moves the sums
    of a round, counts included, by at most the query's clip norm in L2, twice that under replace-one) and "finetune"
    (`PoissonSampled(Gaussian)` composed over the steps). The warm-up sees released images alone.
    Source: Li et al., DP-FETA, IEEE S&P 2025 (arXiv 2504.01395). Differences: the mean is a ratio of two noisy sums,
    not a mean over the private count of a class; one release covers all processes; see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dp_feta"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = DpFetaConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Li, Gong, Li, Zhao, Hou, Wang: From Easy to Hard: Building a Shortcut for Differentially Private Image "
        "Synthesis. IEEE S&P 2025. arXiv 2504.01395",
        "Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models. TMLR 2023. arXiv 2210.09929",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
    )

    config: DpFetaConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the central images from their share of the budget, then DP-SGD's from what is left."""
        config, info = self.config, task.info
        fresh_network(config.network, info, seed=0)
        central = central_images.central_part(config.central, info)
        split, note = finetune_beside(
            [central], config.finetune, info, budget, accountant, cause="the central images raise"
        )
        images = central_images.noise_note(config.central, info, split.values[central_images.LABEL])
        return replace(split.plan, notes=(note, images))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Release the central images, warm up, fine-tune; each finished phase is kept for a resumed run."""
        config, info = self.config, private.info
        images, labels = central_images.release_central_images(private, plan, config.central, context)
        network = fresh_network(config.network, info, seed=context.seed)
        warm = context.once(
            PHASE,
            lambda: warm_up(
                network, images, labels, settings=config.warm_up, noise_levels=config.noise_levels, context=context
            ),
        )
        network.load_state_dict(warm)
        weights = context.once(
            LABEL,
            lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=config.noise_levels),
        )
        self._keep(weights, info, context)
