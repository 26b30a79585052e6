"""DP-LoRA: pretrain on the public set, train low-rank adapters by DP-SGD, merge them into the network."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import GeneratorConfig, Tags, Task
from dpgen.generators.pretrained import Pretrainable, Pretrained
from dpgen.generators.training.private import finetune_charge
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.diffusion.adapters import attach_adapters, merged_weights
from dpgen_plugins.diffusion.autoencoder import fresh_space, public_space
from dpgen_plugins.diffusion.diffusion_generator import DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.parts import trained_share
from dpgen_plugins.diffusion.settings import AdapterSettings
from dpgen_plugins.diffusion.space import Space
from dpgen_plugins.diffusion.transfer import (
    LatentConfig,
    pretrain_publicly,
    pretrained_network,
    pretraining_note,
    require_checkpoints,
    require_public,
    require_public_info,
)


class DpLoraConfig(LatentConfig):
    """Settings of DP-LoRA."""

    adapters: AdapterSettings = Field(default_factory=AdapterSettings)


@final
class DpLora(DiffusionGenerator, Pretrainable):
    """Public pretraining, then DP-SGD on low-rank adapters and the class table.

    Privacy: one charge, "finetune" (`PoissonSampled(Gaussian)` composed over the steps). The gradient of an image is
    averaged over its views and clipped once: clipping each view by itself, as the published code does, lets one image
    move the sum by views times the clip norm. Merging the adapters is post-processing.
    Source: Tsai et al. 2025 (arXiv 2406.01355). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dp_lora"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(needs_public=True, divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = DpLoraConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Tsai, Li, Chen, Chen, Yu, Ren, Buet-Golfouse: Differentially Private Fine-Tuning of Diffusion Models. ICCV "
        "2025. arXiv 2406.01355",
        "Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen: LoRA: Low-Rank Adaptation of Large Language Models. ICLR "
        "2022. arXiv 2106.09685",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
    )

    config: DpLoraConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of DP-SGD from the whole budget."""
        config, public = self.config, require_public_info(task, method=self.name)
        space = fresh_space(config.space, config.autoencoder, task.info, seed=0)
        network = fresh_network(config.network, task.info, seed=0, space=space)
        attach_adapters(network, config.adapters, seed=0)
        require_checkpoints(config, task)
        charge = finetune_charge(config.finetune, task.info, budget, accountant)
        return Plan((charge,), notes=(pretraining_note(public, config.labels), trained_share(network)))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Autoencoder (in latent space), pretrain, fine-tune; each finished phase is kept for a resumed run."""
        config, info, public = self.config, private.info, require_public(public, method=self.name)
        space = public_space(config.space, config.autoencoder, info, public, context)
        network = pretrained_network(public, info, config, context, space)
        attach_adapters(network, config.adapters, seed=context.seed)
        weights = context.once(
            "finetune",
            lambda: finetune(
                network, private, plan, settings=config.finetune, noise_levels=config.noise_levels, space=space
            ),
        )
        merged = merged_weights(network, weights)
        self._keep(merged, info, context, space)

    def pretrain(self, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
        """See `Pretrainable.pretrain`."""
        return pretrain_publicly(self.config, public, context)

    def _fresh_space(self, info: DatasetInfo) -> Space:
        return fresh_space(self.config.space, self.config.autoencoder, info, seed=0)
