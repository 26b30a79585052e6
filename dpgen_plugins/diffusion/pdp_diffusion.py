"""PDP-Diffusion: pretrain on the whole public set, then train every weight by DP-SGD."""

from __future__ import annotations

from typing import ClassVar, final

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.generators.base import GeneratorConfig, Tags, Task
from dpgen.generators.image_api import ImageApi, OffersImageApi
from dpgen.generators.pretrained import Pretrainable, Pretrained
from dpgen.generators.training.private import finetune_charge
from dpgen.mechanisms.context import RunContext
from dpgen_plugins.diffusion.diffusion_generator import DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.image_api import diffusion_api
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.parts import trained_share
from dpgen_plugins.diffusion.transfer import (
    TransferConfig,
    pretrain_publicly,
    pretrained_network,
    pretraining_note,
    require_checkpoints,
    require_public,
    require_public_info,
)


class PdpDiffusionConfig(TransferConfig):
    """Settings of PDP-Diffusion."""


@final
class PdpDiffusion(DiffusionGenerator, Pretrainable, OffersImageApi):
    """Public pretraining, then DP-SGD on all weights.

    Privacy: one charge, "finetune" (`PoissonSampled(Gaussian)` composed over the steps). The views of an image are
    averaged before its one clip, so their number is free; pretraining sees public images alone.
    Source: Ghalebikesabi et al. 2023 (arXiv 2302.13861). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "pdp_diffusion"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(needs_public=True, divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = PdpDiffusionConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Ghalebikesabi, Berrada, Gowal, Ktena, Stanforth, Hayes, De, Smith, Wiles, Balle: Differentially Private "
        "Diffusion Models Generate Useful Synthetic Images. Preprint 2023. arXiv 2302.13861",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
        "Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models. TMLR 2023. arXiv 2210.09929",
    )

    config: PdpDiffusionConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of DP-SGD from the whole budget."""
        public = require_public_info(task, method=self.name)
        network = fresh_network(self.config.network, task.info, seed=0)
        require_checkpoints(self.config, task)
        charge = finetune_charge(self.config.finetune, task.info, budget, accountant)
        return Plan((charge,), notes=(pretraining_note(public, self.config.labels), trained_share(network)))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Pretrain, fine-tune; each finished phase is kept for a resumed run."""
        config, info = self.config, private.info
        network = pretrained_network(require_public(public, method=self.name), info, config, context)
        weights = context.once(
            "finetune",
            lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=config.noise_levels),
        )
        self._keep(weights, info, context)

    def pretrain(self, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
        """See `Pretrainable.pretrain`."""
        return pretrain_publicly(self.config, public, context)

    def image_api(self, public: PublicDataset, context: RunContext) -> ImageApi:
        """See `OffersImageApi.image_api`."""
        return diffusion_api(self.config, public, context)
