"""FETA-Pro: central images first, then images that match noisy frequency features, then DP-SGD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Final, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.split import Part
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.events import Gaussian
from dpgen.generators.base import Generator, Tags, Task
from dpgen.mechanisms.context import Progress, RunContext
from dpgen_plugins.diffusion import central_images, frequency
from dpgen_plugins.diffusion.dp_feta import DpFetaConfig
from dpgen_plugins.diffusion.finetune import LABEL, finetune, finetune_beside
from dpgen_plugins.diffusion.model import DiffusionModel, fresh_network, load_model, require_fitted
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import FrequencySettings, TrainingSettings
from dpgen_plugins.diffusion.warm_up import PHASE, warm_up

SECOND_PHASE: Final = "frequency-warm-up"


class FetaProConfig(DpFetaConfig):
    """Settings of FETA-Pro: those of DP-FETA, the frequency features, and the second warm-up."""

    frequency: FrequencySettings = Field(default_factory=FrequencySettings)
    frequency_warm_up: TrainingSettings = Field(default_factory=TrainingSettings)


@final
class FetaPro(Generator):
    """Warm-up on noisy central images, then on images matched to noisy frequency features, then DP-SGD.

    Privacy: charges "central-images" (`PoissonSampled(Gaussian)` composed over the rounds), "frequency-features"
    (`Gaussian`, one sum for each class of features of norm 1: L2 sensitivity 1 under add-or-remove-one, 2 under
    replace-one) and "finetune" (`PoissonSampled(Gaussian)` composed over the steps). The auxiliary generator and both
    warm-ups see what was released alone.
    Source: Gong et al., FETA-Pro, 2026 (arXiv 2601.06368), in its order "time, frequency"; the embedding is that of
    DP-MERF. Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "feta_pro"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[DpFetaConfig]] = FetaProConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Gong, Li, Lin, Wang: From Easy to Hard++: Promoting Differentially Private Image Synthesis Through "
        "Spatial-Frequency Curriculum. 2026. arXiv 2601.06368",
        "Li, Gong, Li, Zhao, Hou, Wang: From Easy to Hard: Building a Shortcut for Differentially Private Image "
        "Synthesis. IEEE S&P 2025. arXiv 2504.01395",
        "Harder, Adamczewski, Park: DP-MERF: Differentially Private Mean Embeddings with Random Features for "
        "Practical Privacy-Preserving Data Generation. AISTATS 2021. arXiv 2002.11603",
        "Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models. TMLR 2023. arXiv 2210.09929",
    )

    config: FetaProConfig
    _model: DiffusionModel | None = None

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of both shortcuts from their shares of the budget, then DP-SGD's from what is left."""
        config, info = self.config, task.info
        fresh_network(config.network, info, seed=0)
        central_images.central_query(config.central, info.shape)
        central = partial(central_images.central_event, config.central, info)
        parts = (
            Part(central_images.LABEL, central, share=config.central.budget_share),
            Part(frequency.LABEL, Gaussian, share=config.frequency.budget_share),
        )
        cause = "central images and frequency features raise"
        split, note = finetune_beside(parts, config.finetune, info, budget, accountant, cause=cause)
        images = central_images.noise_note(config.central, info, split.values[central_images.LABEL])
        return replace(split.plan, notes=(note, images))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Each of the three stages starts from the weights of the one before; each is kept for a resumed run."""
        config, info = self.config, private.info
        network = fresh_network(config.network, info, seed=context.seed)
        levels = config.noise_levels
        central = central_images.release_central_images(private, plan, config.central, context)
        warm = context.once(
            PHASE,
            lambda: warm_up(network, *central, settings=config.warm_up, noise_levels=levels, context=context),
        )
        network.load_state_dict(warm)
        matched = frequency.release_frequency_images(private, plan, config.frequency, context)
        second = config.frequency_warm_up
        warm = context.once(
            SECOND_PHASE,
            lambda: pretrain(
                network, *matched, settings=second, noise_levels=levels, context=context, phase=SECOND_PHASE
            ),
        )
        network.load_state_dict(warm)
        weights = context.once(
            LABEL, lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=levels)
        )
        self._model = load_model(weights, info, config.network, config.sampler).to(context.device)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the U-Net."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._model = load_model(state, task.info, self.config.network, self.config.sampler)
