"""DPDM: a diffusion model trained from scratch by DP-SGD with several noise levels per image."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.generators.base import GeneratorConfig, Tags, Task
from dpgen.generators.training.private import finetune_charge
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.dp_sgd import gradient_notes
from dpgen_plugins.diffusion.diffusion_generator import DiffusionConfig, DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network


class DpdmConfig(DiffusionConfig):
    """Settings of DPDM."""

    finetune: FinetuneSettings = Field(default_factory=lambda: FinetuneSettings(views=4, learning_rate=6e-3))


@final
class Dpdm(DiffusionGenerator):
    """DP-SGD on the diffusion loss, no public data.

    Privacy: one charge, "finetune" (`PoissonSampled(Gaussian)` composed over the steps). The views of an image are
    averaged before its one clip, so their number is free.
    Source: Dockhorn et al., Differentially Private Diffusion Models, TMLR 2023 (arXiv 2210.09929).
    """

    name: ClassVar[str] = "dpdm"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = DpdmConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models. TMLR 2023. arXiv 2210.09929",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
    )

    config: DpdmConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of DP-SGD from the whole budget."""
        network = fresh_network(self.config.network, task.info, seed=0)
        charge = finetune_charge(self.config.finetune, task.info, budget, accountant)
        return Plan((charge,), notes=gradient_notes(network))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Fine-tune from public random weights; a public data set is not used."""
        config = self.config
        network = fresh_network(config.network, private.info, seed=context.seed)
        weights = context.once(
            "finetune",
            lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=config.noise_levels),
        )
        self._keep(weights, private.info, context)
