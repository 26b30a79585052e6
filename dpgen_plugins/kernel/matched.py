"""What all methods of this package are: one released embedding, and a generator matched to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.generators.base import Generator, Task
from dpgen.generators.labels import requested_labels
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress, public_generator
from dpgen.networks.image_generator import ImageGenerator
from dpgen_plugins.kernel.embedding import embedding_charge, release_embedding
from dpgen_plugins.kernel.settings import MatchedConfig
from dpgen_plugins.kernel.training import fresh_generator, match, pretrain

DRAWN_AT_ONCE: Final = 500


class MatchedGenerator(Generator, ABC):
    """One charged sum of bounded features for each class; all else is post-processing of it, or public.

    A method says which features. They must be fixed before the release and made of public data alone: their number,
    their norm (at most 1) and the one charge are the same for all.
    """

    config: MatchedConfig
    _network: ImageGenerator | None = None
    _info: DatasetInfo

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
        released = release_embedding(private, plan, features, count_weight=config.count_weight, context=context)
        match(network, features, released, config.matching, context)
        self._network, self._info = network.to(context.device).eval(), info

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        network, info = self._fitted(), self._info
        labels = requested_labels(count, labels, classes=info.classes)
        device, images = next(network.parameters()).device, torch.empty((count, *info.shape))
        with (progress or SilentProgress()).track("sample", count) as advance, torch.inference_mode():
            for start in range(0, count, DRAWN_AT_ONCE):
                rows = slice(start, min(start + DRAWN_AT_ONCE, count))
                generator = public_generator(seed, f"sample {start}")
                noise = torch.randn(rows.stop - start, network.latent, generator=generator)
                images[rows] = network(noise.to(device), labels[rows].to(device)).cpu()
                advance(rows.stop - start)
        return SyntheticDataset(images, labels, info.class_names)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the image generator."""
        return self._fitted().state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        network = fresh_generator(self.config.network, task.info, seed_of=RunContext())
        network.load_state_dict(state)
        self._network, self._info = network.eval(), task.info

    def _fitted(self) -> ImageGenerator:
        if self._network is None:
            raise InvalidValue("expected a fitted generator; found a fresh one. Call `fit` or `load_state_dict` first.")
        return self._network

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
