"""PrivImage: ask the private set which public classes it resembles, pretrain on those, fine-tune by DP-SGD."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, final

import torch
from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue
from dpgen.events import DiscreteGaussian
from dpgen.generators.base import GeneratorConfig, Tags, Task
from dpgen.generators.pretrained import Pretrainable, Pretrained
from dpgen.generators.training.private import finetune_beside
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.histogram import NoisyHistogram
from dpgen.networks.diffusion_network import DiffusionNetwork
from dpgen_plugins.diffusion import semantic_query
from dpgen_plugins.diffusion.diffusion_generator import DiffusionGenerator
from dpgen_plugins.diffusion.finetune import finetune
from dpgen_plugins.diffusion.model import fresh_network
from dpgen_plugins.diffusion.pretrain import pretrain
from dpgen_plugins.diffusion.query_network import publish_identity, query_network, require_query_network
from dpgen_plugins.diffusion.selection import Selection, require_enough
from dpgen_plugins.diffusion.semantic_query import query_rows, taken_per_row
from dpgen_plugins.diffusion.settings import QuerySettings
from dpgen_plugins.diffusion.transfer import (
    TransferConfig,
    pretrain_publicly,
    pretrained_network,
    require_checkpoints,
    require_public,
    require_public_info,
    starting_network,
)


class PrivImageConfig(TransferConfig):
    """Settings of PrivImage. `labels` matter where the query has one row for all classes."""

    query: QuerySettings = Field(default_factory=QuerySettings)


@final
class PrivImage(DiffusionGenerator, Pretrainable):
    """Semantic-aware pretraining, then DP-SGD.

    Privacy: charges "semantic-query" (`DiscreteGaussian`, one noisy histogram of top-k votes, L2 sensitivity sqrt(k)
    under add-or-remove-one) and "finetune" (`PoissonSampled(Gaussian)` composed over the steps). All else is
    post-processing of those two or touches public data only.
    Source: Li et al., PrivImage, USENIX Security 2024 (arXiv 2311.12850). Differences: the histogram's noise is an
    exact discrete Gaussian, the query is always charged, and the selection solves an assignment problem.
    """

    name: ClassVar[str] = "privimage"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(needs_public=True, divisible=True)
    Config: ClassVar[type[GeneratorConfig]] = PrivImageConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Li, Gong, Li, Zhao, Hou, Wang: PrivImage: Differentially Private Synthetic Image Generation using Diffusion "
        "Models with Semantic-Aware Pretraining. USENIX Security 2024. arXiv 2311.12850",
        "Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models. NeurIPS "
        "2022. arXiv 2206.00364",
        "Dockhorn, Cao, Vahdat, Kreis: Differentially Private Diffusion Models. TMLR 2023. arXiv 2210.09929",
    )

    config: PrivImageConfig

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The query's noise from its share of the budget, then DP-SGD's noise from what is left."""
        self._check(task)
        fresh_network(self.config.network, task.info, seed=0)
        require_checkpoints(self.config, task, warm=True)
        query = semantic_query.query_part(self.config.query, budget.relation)
        split, note = finetune_beside(
            [query], self.config.finetune, task.info, budget, accountant, cause="the query raises"
        )
        votes = semantic_query.noise_note(self.config.query, task.info, split.values[semantic_query.LABEL])
        return replace(split.plan, notes=(note, votes))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Query, select, pretrain, fine-tune; each finished phase is kept for a resumed run."""
        config, info, public = self.config, private.info, require_public(public, method=self.name)
        rows, per_row = query_rows(config.query, info), taken_per_row(config.query, info, len(public.class_names))
        require_enough(len(public.labels.unique()), per_class=per_row)  # a class without an image is never chosen
        asked = context.once("query", lambda: self._query(private, public, plan, context))
        publish_identity(bytes(asked["network"].cpu().tolist()).decode(), context)
        selection = Selection.of(asked["histogram"].cpu().numpy(), rows, public, per_class=per_row)
        selection.publish(public, context)
        network = self._pretrained(selection, public, info, context)
        weights = context.once(
            "finetune",
            lambda: finetune(network, private, plan, settings=config.finetune, noise_levels=config.noise_levels),
        )
        self._keep(weights, info, context)

    def _pretrained(
        self, selection: Selection, public: PublicDataset, info: DatasetInfo, context: RunContext
    ) -> DiffusionNetwork:
        """Trained on the chosen images, under the labels of the private classes that took them, or under their own."""
        config = self.config
        if config.query.scope == "all":
            return pretrained_network(selection.chosen_set(public), info, config, context, warm=True)
        network = starting_network(info, config, context, info.class_names)
        images, labels = selection.training_set(public)
        pretrained = context.once(
            "pretrain",
            lambda: pretrain(
                network, images, labels, settings=config.pretrain, noise_levels=config.noise_levels, context=context
            ),
        )
        network.load_state_dict(pretrained)
        return network

    def pretrain(self, public: PublicDataset, context: RunContext) -> tuple[Pretrained, ...]:
        """See `Pretrainable.pretrain`: on the whole set, to start from; what the query chooses is a private release."""
        return pretrain_publicly(self.config, public, context)

    def _query(
        self, private: PrivateDataset, public: PublicDataset, plan: Plan, context: RunContext
    ) -> dict[str, Tensor]:
        settings, rows = self.config.query, len(query_rows(self.config.query, private.info))
        planned = plan.of_kind(semantic_query.LABEL, DiscreteGaussian)
        network = query_network(public, settings, context)
        mechanism = NoisyHistogram(
            cells=rows * len(public.class_names),
            votes=settings.votes,
            scale=planned.scale,
            vote=semantic_query.TopClassVotes(network, settings.votes, by_class=settings.scope == "class"),
            phase=semantic_query.LABEL,
        )
        counts = private.release(mechanism, label=semantic_query.LABEL)
        identity = torch.tensor(list(network.identity.encode()), dtype=torch.uint8)
        return {"histogram": torch.as_tensor(counts).reshape(rows, len(public.class_names)), "network": identity}

    def _check(self, task: Task) -> None:
        public = require_public_info(task, method=self.name)
        classes, query = len(public.class_names), self.config.query
        if query.votes > classes:
            raise InvalidValue(f"query.votes must be at most the {classes} public classes; found {query.votes}.")
        require_query_network(query)
        require_enough(classes, per_class=taken_per_row(query, task.info, classes))
