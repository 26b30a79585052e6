"""What all methods of this package are: a network trained on the diffusion loss, and images drawn from it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from dpgen.data.datasets import SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Generator, GeneratorConfig, Task
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import Progress, RunContext
from dpgen_plugins.diffusion.model import DiffusionModel, load_model, require_fitted
from dpgen_plugins.diffusion.settings import NetworkSettings, NoiseLevelSettings, SamplerSettings
from dpgen_plugins.diffusion.space import PIXELS, Space


class DiffusionConfig(GeneratorConfig):
    """Settings that all methods share."""

    network: NetworkSettings = Field(default_factory=NetworkSettings)
    noise_levels: NoiseLevelSettings = Field(default_factory=NoiseLevelSettings)
    finetune: FinetuneSettings = Field(default_factory=FinetuneSettings)
    sampler: SamplerSettings = Field(default_factory=SamplerSettings)


class DiffusionGenerator(Generator, ABC):
    """A method says what it charges and how it trains; drawing, saving and loading are the same for all."""

    config: DiffusionConfig
    _model: DiffusionModel | None = None

    def _keep(
        self, weights: Mapping[str, Tensor], info: DatasetInfo, context: RunContext, space: Space = PIXELS
    ) -> None:
        """Be fitted: with released `weights`, which draw in `space`."""
        self._model = load_model(weights, info, self.config.network, self.config.sampler, space).to(context.device)

    def _fresh_space(self, info: DatasetInfo) -> Space:
        """Where the network draws, before saved weights are read into it."""
        return PIXELS

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def sample_on(self, context: RunContext) -> None:
        """See `Generator.sample_on`."""
        self._model = require_fitted(self._model).computed(context)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the network, and those of the public autoencoder where there is one."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        space = self._fresh_space(task.info)
        self._model = load_model(state, task.info, self.config.network, self.config.sampler, space)
