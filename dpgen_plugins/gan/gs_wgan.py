"""GS-WGAN: critics on shards of the private records, of which nothing is released but noised slopes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.budget import Budget, Charge, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import PlanMismatch
from dpgen.events import DpEvent, Gaussian, OnShards, PoissonSampled, SelfComposed
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.from_noise import FromNoise, require_fitted
from dpgen.generators.training.public_step import linear_decay
from dpgen.mechanisms.context import Progress, RunContext, public_generator
from dpgen_plugins.gan.networks import Adversaries, fresh_discriminator, fresh_generator
from dpgen_plugins.gan.pretrain import pretrain
from dpgen_plugins.gan.settings import (
    AdversarialPretraining,
    DiscriminatorSettings,
    GeneratorSettings,
    GeneratorSteps,
    ShardSettings,
    SlopeSettings,
)
from dpgen_plugins.gan.sharded_critics import ShardedCritics, require_cells, sharded_critics_event

LABEL = "sharded-critics"


class GsWganConfig(GeneratorConfig):
    """Settings of GS-WGAN. `generator_steps` serve public pretraining alone."""

    generator: GeneratorSettings = Field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = Field(default_factory=DiscriminatorSettings)
    pretrain: AdversarialPretraining = Field(default_factory=AdversarialPretraining)
    generator_steps: GeneratorSteps = Field(default_factory=GeneratorSteps)
    shards: ShardSettings = Field(default_factory=ShardSettings)
    slopes: SlopeSettings = Field(default_factory=SlopeSettings)


@final
class GsWgan(Generator):
    """A generator that climbs the noised slopes of critics, each trained on its own shard of the private records.

    Privacy: one charge, "sharded-critics": `OnShards(PoissonSampled(Gaussian))` composed over the steps, the same under
    both relations; L2 sensitivity of a step's sum twice the clip norm. See `ShardedCritics` for the proof. Pretraining
    sees public images alone.
    Source: Chen, Orekondy, Fritz, NeurIPS 2020 (arXiv 2006.08265). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "gs_wgan"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = GsWganConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Chen, Orekondy, Fritz: GS-WGAN: A Gradient-Sanitized Approach for Learning Differentially Private Generators. "
        "NeurIPS 2020. arXiv 2006.08265",
        "Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville: Improved Training of Wasserstein GANs. NeurIPS 2017. arXiv "
        "1704.00028",
    )

    config: GsWganConfig
    _model: FromNoise | None = None

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the slopes from the whole budget."""
        slopes = self.config.slopes
        require_cells(task.info.shape.height, task.info.shape.width, slopes.cell)
        noise_multiplier = calibrate(accountant, budget, self._event)
        each = task.info.nominal_records / self.config.shards.count
        notes: tuple[str, ...] = (
            f"{self.config.shards.count} shards of about {each:.0f} declared records, one critic on each",
        )
        if task.public_info is not None and self.config.pretrain.steps:
            notes = (*notes, f"pretraining sees {task.public_info.name!r} alone: it costs no privacy")
        return Plan((Charge(LABEL, self._event(noise_multiplier)),), notes=notes)

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Pretrain if there is a public set and it is asked for; then release. Each finished phase is kept."""
        config, info = self.config, private.info
        module = self._fresh(info, seed=context.seed)
        if public is not None and config.pretrain.steps:
            make = partial(pretrain, settings=config.pretrain, generator=config.generator_steps, context=context)
            module.load_state_dict(context.once("pretrain", lambda: make(module, public, info)))
        mechanism = self._mechanism(module, plan)
        weights = context.once(LABEL, lambda: private.release(mechanism, label=LABEL))
        context.checkpoints.drop(f"{LABEL}.unfinished")  # it holds the critics, which know their shards
        self._model = self._loaded(weights, info).to(context.device)

    def _mechanism(self, module: Adversaries, plan: Plan) -> ShardedCritics:
        shards, slopes = self.config.shards, self.config.slopes
        return ShardedCritics(
            generator=module.generator.requires_grad_(True),
            critic=module.discriminator,
            shards=shards.count,
            sampling_probability=self._sampling_probability,
            noise_multiplier=_planned_noise(plan),
            clip_norm=slopes.clip_norm,
            steps=slopes.steps,
            batch=slopes.batch,
            learning_rate=slopes.learning_rate,
            critic_learning_rate=shards.learning_rate,
            critic_batch=shards.batch,
            critics_per_step=shards.per_step,
            warm_up=shards.warm_up,
            cell=slopes.cell,
            shown=self.config.generator_steps.shown,
            ema_decay=slopes.ema_decay,
            rate_factor=partial(linear_decay, steps=slopes.steps, final=slopes.final_learning_rate),
            phase=LABEL,
        )

    @property
    def _sampling_probability(self) -> float:
        return min(1.0, self.config.slopes.expected_shards / self.config.shards.count)

    def _event(self, noise_multiplier: float) -> DpEvent:
        return sharded_critics_event(
            noise_multiplier=noise_multiplier,
            sampling_probability=self._sampling_probability,
            steps=self.config.slopes.steps,
        )

    def _fresh(self, info: DatasetInfo, *, seed: int) -> Adversaries:
        return Adversaries(
            fresh_discriminator(self.config.discriminator, info, public_generator(seed, "discriminator")),
            fresh_generator(self.config.generator, info, public_generator(seed, "generator")),
            shape=info.shape,
            shown=self.config.generator_steps.shown,
        )

    def _loaded(self, state: Mapping[str, Tensor], info: DatasetInfo) -> FromNoise:
        network = fresh_generator(self.config.generator, info, public_generator(0, "overwritten"))
        network.load_state_dict(dict(state))
        return FromNoise(network, self.config.generator.latent, info)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the generator."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._model = self._loaded(state, task.info)


def _planned_noise(plan: Plan) -> float:
    match plan[LABEL]:
        case OnShards(event=SelfComposed(event=PoissonSampled(event=Gaussian(noise_multiplier=noise_multiplier)))):
            return noise_multiplier
    raise PlanMismatch(expected=f"an event of sharded critics under {LABEL!r}", got=str(plan[LABEL]))
