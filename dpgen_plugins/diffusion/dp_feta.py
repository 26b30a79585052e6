"""DP-FETA: from easy to hard. Learn noisy central images of each class first, then the private images by DP-SGD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.training.private import LABEL, finetune_beside
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import Progress, RunContext
from dpgen_plugins.diffusion import central_images
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import DiffusionModel, fresh_network, load_model, require_fitted
from dpgen_plugins.diffusion.settings import (
    CentralImageSettings,
    NetworkSettings,
    NoiseLevelSettings,
    SamplerSettings,
    WarmUpSettings,
)
from dpgen_plugins.diffusion.warm_up import PHASE, warm_up


class DpFetaConfig(GeneratorConfig):
    """Settings of DP-FETA."""

    network: NetworkSettings = Field(default_factory=NetworkSettings)
    noise_levels: NoiseLevelSettings = Field(default_factory=NoiseLevelSettings)
    central: CentralImageSettings = Field(default_factory=CentralImageSettings)
    warm_up: WarmUpSettings = Field(default_factory=WarmUpSettings)
    finetune: FinetuneSettings = Field(default_factory=lambda: FinetuneSettings(views=4))
    sampler: SamplerSettings = Field(default_factory=SamplerSettings)


@final
class DpFeta(Generator):
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
    _model: DiffusionModel | None = None

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
        self._model = load_model(weights, info, config.network, config.sampler).to(context.device)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def sample_on(self, context: RunContext) -> None:
        """See `Generator.sample_on`."""
        self._model = require_fitted(self._model).computed(context)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the U-Net."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._model = load_model(state, task.info, self.config.network, self.config.sampler)
