"""Private Evolution: private images vote for the public ones that they are nearest to; the elected are varied."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.budget import Budget, Charge, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.errors import InvalidValue
from dpgen.events import Composed, DiscreteGaussian, DpEvent
from dpgen.generators.base import Generator, Tags, Task
from dpgen.generators.from_noise import wanted_labels
from dpgen.generators.image_api import ImageApi
from dpgen.mechanisms.context import Progress, RunContext, SilentProgress, public_generator
from dpgen_plugins.evolution.population import first_population, survivors, varied
from dpgen_plugins.evolution.settings import PeConfig
from dpgen_plugins.evolution.sources import build_api, build_extractor, check_api, check_extractor
from dpgen_plugins.evolution.voting import Extract, Floats, NearestVotes, round_label, round_votes, votes_event


@final
class Pe(Generator):
    """Rounds of: each private image votes for its nearest synthetic image of its class; elected ones are varied.

    Privacy: one charge a round, "votes-1", "votes-2" and so on (`DiscreteGaussian`), all planned before data is opened,
    each of its own noise and address: a run that was killed continues with the round it was in. A private image has
    `voting.votes` votes of one each in a round: L2 sensitivity sqrt(votes) under add-or-remove-one, sqrt(2 votes) under
    replace-one. Only noisy counts leave a round; they choose what survives, and the threshold is taken off after the
    noise. Public: the API, the features, pretraining. The plan's price adds to that of every other charge of the run.
    Source: Lin et al. 2024 (arXiv 2305.15560). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "pe"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[PeConfig]] = PeConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Lin, Gopi, Kulkarni, Nori, Yekhanin: Differentially Private Synthetic Data via Foundation Model APIs 1: "
        "Images. ICLR 2024. arXiv 2305.15560",
        "Lin, Baltrusaitis, Wang, Yekhanin: Differentially Private Synthetic Data via APIs 3: Using Simulators Instead "
        "of Foundation Models. Preprint 2025. arXiv 2502.05505",
    )

    config: PeConfig
    _population: Tensor | None = None
    """uint8 `[classes, size, channels, height, width]`."""
    _task: Task

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The same noise for every round, from the whole budget."""
        config = self.config
        _check_settings(config)
        for reason in (check_api(config.api), check_extractor(config.voting)):
            _require_public(task, reason)
        rounds, round_event = len(config.degrees), partial(votes_event, config.voting.votes, relation=budget.relation)

        def whole(scale: float) -> DpEvent:
            return Composed((round_event(scale),) * rounds)

        scale = calibrate(accountant, budget, whole)
        charges = tuple(Charge(round_label(round_), round_event(scale)) for round_ in range(rounds))
        each = task.info.nominal_records * config.voting.votes / (task.info.classes * config.population)
        note = f"{each:.1f} votes for an image on average in each round, with noise of deviation {scale:.2f}"
        return Plan(charges, notes=(note,))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """A first population, then the rounds; each finished one is kept for a resumed run."""
        config, info = self.config, private.info
        extract: Extract = build_extractor(config.voting, info, public, context)
        api = build_api(config.api, info, public, extract, context)
        names = tuple(name if config.api.by_name else None for name in info.class_names)
        draws = context.generator("first population")
        shape = (info.shape.channels, info.shape.height, info.shape.width)
        population = first_population(api, shape, names, size=config.population, generator=draws)
        for round_ in range(len(config.degrees)):
            elect = partial(self._one_round, round_, population, private, plan, api, extract, context)
            population = context.once(f"population-{round_ + 1}", elect)["images"].cpu()
        self._population, self._task = population, Task(info, None, 0)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`. Members of the last population in random order; all of a class before one repeats."""
        population, info = self._fitted(), self._task.info
        labels = wanted_labels(count, labels, info)
        images = torch.empty((count, *info.shape))
        with (progress or SilentProgress()).track("sample", count) as advance:
            for own, members in enumerate(population):
                rows = (labels == own).nonzero()[:, 0]
                order = torch.randperm(len(members), generator=public_generator(seed, f"sample of class {own}"))
                images[rows] = members[order[torch.arange(len(rows)) % len(members)]].float() / 255
                advance(len(rows))
        return SyntheticDataset(images, labels, info.class_names)

    def state_dict(self) -> dict[str, Tensor]:
        """The last population."""
        return {"population": self._fitted()}

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._population, self._task = state["population"].cpu(), task

    def _one_round(
        self,
        round_: int,
        population: Tensor,
        private: PrivateDataset,
        plan: Plan,
        api: ImageApi,
        extract: Extract,
        context: RunContext,
    ) -> dict[str, Tensor]:
        """Vote, elect, vary."""
        config, label = self.config, round_label(round_)
        degree = config.degrees[round_]
        planned = plan.of_kind(label, DiscreteGaussian)
        candidates = [
            _standing_for(members, api, extract, config, degree=degree, generator=context.generator(f"{label} {own}"))
            for own, members in enumerate(population)
        ]
        vote = NearestVotes(candidates, extract, config.voting.votes)
        mechanism = round_votes(vote, votes=config.voting.votes, planned=planned, phase=label)
        counts = context.once(label, lambda: {"counts": private.release(mechanism, label=label)})["counts"].cpu()
        threshold = config.voting.threshold * planned.scale
        draws = context.generator(f"survivors {round_}")
        elected = survivors(population, counts, threshold=threshold, generator=draws)
        return {"images": varied(elected.flatten(0, 1), api, degree=degree, generator=draws).reshape(population.shape)}

    def _fitted(self) -> Tensor:
        if self._population is None:
            raise InvalidValue("expected a fitted generator; found a fresh one. Call `fit` or `load_state_dict` first.")
        return self._population


def _standing_for(
    members: Tensor, api: ImageApi, extract: Extract, config: PeConfig, *, degree: float, generator: torch.Generator
) -> Floats:
    """Features `[population, d]` that stand for each image: the mean over variations of it, or its own."""
    lookahead = config.voting.lookahead
    if not lookahead:
        return extract(members)
    seen = [extract(varied(members, api, degree=degree, generator=generator)) for _ in range(lookahead)]
    mean: Floats = np.mean(seen, axis=0)
    return mean


def _check_settings(config: PeConfig) -> None:
    for degree in config.degrees:
        if not 0 <= degree <= 1:
            raise InvalidValue(f"degrees must lie in [0, 1]; found {degree}. 0 keeps an image, 1 little of it.")
    if config.voting.votes > config.population:
        raise InvalidValue(
            f"voting.votes must be at most the {config.population} images of a class; found {config.voting.votes}. "
            "Raise `population`, or lower it."
        )


def _require_public(task: Task, reason: str | None) -> None:
    if reason is None:
        return
    if task.public_info is None:
        raise InvalidValue(f"{reason} needs a public data set; found none. Set `data.public`, or take another source.")
    if task.public_info.shape != task.info.shape:
        raise InvalidValue(
            f"public images must have the private shape {tuple(task.info.shape)}; found "
            f"{tuple(task.public_info.shape)}. Load both with the same `data.size` and `data.channels`."
        )
