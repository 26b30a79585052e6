"""DP-LDM: pretrain on public images, in pixels or in an autoencoder's codes; train a few parts by DP-SGD."""

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
from dpgen_plugins.diffusion.autoencoder import fresh_space, public_space
from dpgen_plugins.diffusion.diffusion_generator import DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.parts import train_only, trained_share
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


class DpLdmConfig(LatentConfig):
    """Settings of DP-LDM."""

    trained: tuple[str, ...] = Field(
        ("class_table", "embed1", "embed2", "stem", "*.attention"),
        min_length=1,
        description="patterns of the names of the parts that DP-SGD trains; '*' is all of them",
    )


@final
class DpLdm(DiffusionGenerator, Pretrainable):
    """Public pretraining, then DP-SGD on a few parts of the network.

    Privacy: one charge, "finetune" (`PoissonSampled(Gaussian)` composed over the steps); the clip is over the trained
    parts together. Frozen parts and the autoencoder are public, and an image is encoded alone: that is free.
    Source: Liu, Lyu et al. 2024 (arXiv 2305.15759); in pixels the benchmark's DP-LDM-SD (arXiv 2503.14681).
    Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dp_ldm"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(needs_public=True, divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = DpLdmConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Liu, Lyu, Vinaroz, Park: DP-LDMs: Differentially Private Latent Diffusion Models. TMLR 2024. arXiv 2305.15759",
        "Rombach, Blattmann, Lorenz, Esser, Ommer: High-Resolution Image Synthesis with Latent Diffusion Models. CVPR "
        "2022. arXiv 2112.10752",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
    )

    config: DpLdmConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of DP-SGD from the whole budget."""
        config, public = self.config, require_public_info(task, method=self.name)
        space = fresh_space(config.space, config.autoencoder, task.info, seed=0)
        network = fresh_network(config.network, task.info, seed=0, space=space)
        train_only(network, config.trained, setting="trained")
        require_checkpoints(config, task)
        charge = finetune_charge(config.finetune, task.info, budget, accountant)
        return Plan((charge,), notes=(pretraining_note(public, config.labels), trained_share(network)))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Autoencoder (in latent space), pretrain, fine-tune; each finished phase is kept for a resumed run."""
        config, info, public = self.config, private.info, require_public(public, method=self.name)
        space = public_space(config.space, config.autoencoder, info, public, context)
        network = pretrained_network(public, info, config, context, space)
        train_only(network, config.trained, setting="trained")
        weights = context.once(
            "finetune",
            lambda: finetune(
                network, private, plan, settings=config.finetune, noise_levels=config.noise_levels, space=space
            ),
        )
        self._keep(weights, info, context, space)

    def pretrain(self, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
        """See `Pretrainable.pretrain`."""
        return pretrain_publicly(self.config, public, context)

    def _fresh_space(self, info: DatasetInfo) -> Space:
        return fresh_space(self.config.space, self.config.autoencoder, info, seed=0)
