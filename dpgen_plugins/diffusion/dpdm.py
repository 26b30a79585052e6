"""DPDM: a diffusion model trained from scratch by DP-SGD with several noise levels per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.training.private import finetune_charge
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import Progress, RunContext
from dpgen.mechanisms.dp_sgd import gradient_notes
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import DiffusionModel, fresh_network, load_model, require_fitted
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings, SamplerSettings


class DpdmConfig(GeneratorConfig):
    """Settings of DPDM."""

    network: NetworkSettings = Field(default_factory=NetworkSettings)
    noise_levels: NoiseLevelSettings = Field(default_factory=NoiseLevelSettings)
    finetune: FinetuneSettings = Field(default_factory=lambda: FinetuneSettings(views=4, learning_rate=6e-3))
    sampler: SamplerSettings = Field(default_factory=SamplerSettings)


@final
class Dpdm(Generator):
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
    _model: DiffusionModel | None = None

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
        self._model = load_model(weights, private.info, config.network, config.sampler).to(context.device)

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
