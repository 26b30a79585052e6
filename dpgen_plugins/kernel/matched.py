"""What all methods of this package are: one released embedding, and a generator matched to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.budget import Budget, Charge, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.events import Gaussian
from dpgen.generators.base import Generator, Task
from dpgen.generators.from_noise import FromNoise, require_fitted
from dpgen.generators.mean_embedding import release_embedding
from dpgen.mechanisms.context import Progress, RunContext
from dpgen_plugins.kernel.settings import MatchedConfig
from dpgen_plugins.kernel.training import fresh_generator, match, pretrain

LABEL: Final = "mean-embedding"


def embedding_charge(budget: Budget, accountant: Accountant) -> Charge:
    """The charge of an embedding that spends the whole budget. Raises: `CalibrationError` when none meets it."""
    return Charge(LABEL, Gaussian(calibrate(accountant, budget, Gaussian)))


class MatchedGenerator(Generator, ABC):
    """One charged sum of bounded features for each class; all else is post-processing of it, or public.

    A method says which features. They must be fixed before the release and made of public data alone: their number,
    their norm (at most 1) and the one charge are the same for all.
    """

    config: MatchedConfig
    _model: FromNoise | None = None

    @abstractmethod
    def _features(self, info: DatasetInfo, public: PublicDataset | None, context: RunContext) -> nn.Module:
        """The public map from float images in [0, 1] to features `[n, d]` of L2 norm at most 1, differentiable."""

    @abstractmethod
    def _needs_public(self) -> str | None:
        """Which setting needs a public set, as it would be written; None where none does."""

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the one release from the whole budget."""
        config, reason = self.config, self._needs_public()
        if config.pretrain.steps:
            reason = f"pretrain.steps = {config.pretrain.steps}"
        self._require_public(task, reason)
        least = 2 * task.info.classes
        for table in ("matching", *(("pretrain",) if config.pretrain.steps else ())):
            if getattr(config, table).batch < least:
                raise InvalidValue(
                    f"{table}.batch must hold two images of each of {task.info.classes} classes; found "
                    f"{getattr(config, table).batch}. Set it to {least} or more."
                )
        note = f"{'training on the public set and ' if reason else ''}matching the generator costs no privacy"
        return Plan((embedding_charge(budget, accountant),), notes=(note,))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Features, pretraining, the release, matching; each finished phase is kept for a resumed run."""
        config, info = self.config, private.info
        features = self._features(info, public, context).to(context.device)
        network = fresh_generator(config.network, info, seed_of=context)
        if config.pretrain.steps:
            assert public is not None, "plan refused to go on without it"
            pretrain(network, features, public, info.class_names, config.pretrain, context)
        released = release_embedding(
            private, plan, features, label=LABEL, count_weight=config.count_weight, context=context
        )
        match(network, features, released, config.matching, context)
        self._model = FromNoise(network, network.latent, info).to(context.device)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def sample_on(self, context: RunContext) -> None:
        """See `Generator.sample_on`."""
        require_fitted(self._model).to(context.device)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the image generator."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        network = fresh_generator(self.config.network, task.info, seed_of=RunContext())
        network.load_state_dict(state)
        self._model = FromNoise(network, network.latent, task.info)

    def _require_public(self, task: Task, reason: str | None) -> None:
        if reason is None:
            return
        if task.public_info is None:
            raise InvalidValue(f"{reason} needs a public data set; found none. Set `data.public`, or leave it out.")
        if task.public_info.shape != task.info.shape:
            raise InvalidValue(
                f"public images must have the private shape {tuple(task.info.shape)}; found "
                f"{tuple(task.public_info.shape)}. Load both with the same `data.size` and `data.channels`."
            )
