"""FETA-Pro: central images and images that match noisy frequency features, in an order of choice; then DP-SGD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.generators.base import Tags, Task
from dpgen.generators.training.private import LABEL, finetune_beside
from dpgen.generators.training.settings import TrainingSettings
from dpgen.mechanisms.context import RunContext
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion import central_images, frequency
from dpgen_plugins.diffusion.diffusion_generator import DiffusionGenerator
from dpgen_plugins.diffusion.dp_feta import DpFetaConfig
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.settings import FrequencySettings
from dpgen_plugins.diffusion.warm_up import PHASE, warm_up

SECOND_PHASE: Final = "frequency-warm-up"
Order = Literal["time_frequency", "frequency_time", "mix", "frequency"]
CHARGED: Final[Mapping[Order, tuple[str, ...]]] = {
    "time_frequency": (central_images.LABEL, frequency.LABEL),
    "frequency_time": (frequency.LABEL, central_images.LABEL),
    "mix": (central_images.LABEL, frequency.LABEL),
    "frequency": (frequency.LABEL,),
}
"""What each order asks of the private records, in turn."""


class FetaProConfig(DpFetaConfig):
    """Settings of FETA-Pro: those of DP-FETA, the order, the frequency features, and the warm-up on them."""

    order: Order = Field(
        default="time_frequency",
        description="of the warm-ups: central images (time) and frequency features one after the other; mix: one "
        "warm-up on as many of each; frequency: no central images, and nothing charged for them",
    )
    frequency: FrequencySettings = Field(default_factory=FrequencySettings)
    frequency_warm_up: TrainingSettings = Field(default_factory=TrainingSettings)


@final
class FetaPro(DiffusionGenerator):
    """Warm-up on noisy central images and on images matched to noisy frequency features, then DP-SGD.

    Privacy: charges, in its order, "central-images" (`PoissonSampled(Gaussian)` composed over the rounds),
    "frequency-features" (`Gaussian`, one sum for each class of features and a count, of norm 1 together: L2
    sensitivity 1 under add-or-remove-one, 2 under replace-one) and "finetune" (`PoissonSampled(Gaussian)` composed
    over the steps). The auxiliary generator and both warm-ups see what was released alone.
    Source: Gong et al., FETA-Pro, 2026 (arXiv 2601.06368); the embedding is that of DP-MERF. Differences: see
    docs/reference/methods.md.
    """

    name: ClassVar[str] = "feta_pro"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(divisible=True)
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

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of each shortcut from its share of the budget, then DP-SGD's from what is left."""
        config, info = self.config, task.info
        fresh_network(config.network, info, seed=0)
        parts = {
            central_images.LABEL: central_images.central_part(config.central, info),
            frequency.LABEL: frequency.frequency_part(config.frequency),
        }
        charged = [parts[label] for label in CHARGED[config.order]]
        cause = " and ".join(label.replace("-", " ") for label in CHARGED[config.order]) + " raise"
        split, note = finetune_beside(charged, config.finetune, info, budget, accountant, cause=cause)
        if central_images.LABEL not in split.values:
            return replace(split.plan, notes=(note,))
        images = central_images.noise_note(config.central, info, split.values[central_images.LABEL])
        return replace(split.plan, notes=(note, images))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Each stage starts from the weights of the one before; each is kept for a resumed run."""
        config, info, levels = self.config, private.info, self.config.noise_levels
        network = fresh_network(config.network, info, seed=context.seed)
        released: dict[str, tuple[Tensor, Tensor]] = {}
        for label in CHARGED[config.order]:
            released[label] = self._release(label, private, plan, context)
            if config.order != "mix":
                self._warm_up(network, label, released[label], context)
        if config.order == "mix":
            self._warm_up(network, frequency.LABEL, _evenly(*released.values()), context)
        weights = context.once(
            LABEL, lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=levels)
        )
        self._keep(weights, info, context)

    def _release(self, label: str, private: PrivateDataset, plan: Plan, context: RunContext) -> tuple[Tensor, Tensor]:
        """Training images and labels from what is charged under `label`."""
        if label == central_images.LABEL:
            return central_images.release_central_images(private, plan, self.config.central, context)
        return frequency.release_frequency_images(private, plan, self.config.frequency, context)

    def _warm_up(
        self, network: DiffusionNetwork, label: str, images: tuple[Tensor, Tensor], context: RunContext
    ) -> None:
        """Train `network` in place on released images, by the settings of their kind."""
        config, levels = self.config, self.config.noise_levels

        def train() -> dict[str, Tensor]:
            if label == central_images.LABEL:
                return warm_up(network, *images, settings=config.warm_up, noise_levels=levels, context=context)
            second = config.frequency_warm_up
            return pretrain(network, *images, settings=second, noise_levels=levels, context=context, phase=SECOND_PHASE)

        network.load_state_dict(context.once(PHASE if label == central_images.LABEL else SECOND_PHASE, train))


def _evenly(few: tuple[Tensor, Tensor], many: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Both sets together, the smaller one repeated until it has as many images as the other."""
    if len(few[1]) > len(many[1]):
        few, many = many, few
    rows = torch.arange(len(many[1])) % len(few[1])
    return torch.cat([few[0][rows], many[0]]), torch.cat([few[1][rows], many[1]])
