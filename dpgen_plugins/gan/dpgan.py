"""DPGAN: a conditional GAN whose discriminator alone sees private images, and learns by DP-SGD."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.from_noise import FromNoise, require_fitted
from dpgen.generators.training.private import finetune_charge, train_privately
from dpgen.generators.training.settings import FinetuneSettings
from dpgen.mechanisms.context import Progress, RunContext, public_generator
from dpgen.mechanisms.dp_sgd import gradient_notes
from dpgen_plugins.gan.adversarial import generator_turn, pair_inputs, pair_losses
from dpgen_plugins.gan.networks import Adversaries, fresh_discriminator, fresh_generator
from dpgen_plugins.gan.pretrain import pretrain
from dpgen_plugins.gan.settings import (
    AdversarialPretraining,
    DiscriminatorSettings,
    GeneratorSettings,
    GeneratorSteps,
)

_GENERATOR = "generator."


class DpganConfig(GeneratorConfig):
    """Settings of DPGAN. `finetune.views`: generated images that each private one is compared with, in one clip."""

    generator: GeneratorSettings = Field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = Field(default_factory=DiscriminatorSettings)
    pretrain: AdversarialPretraining = Field(default_factory=AdversarialPretraining)
    finetune: FinetuneSettings = Field(
        default_factory=lambda: FinetuneSettings(steps=1000, views=1, clip_norm=0.1, learning_rate=2e-3, ema_decay=0.99)
    )
    generator_steps: GeneratorSteps = Field(default_factory=GeneratorSteps)


@final
class Dpgan(Generator):
    """DP-SGD on the discriminator of a GAN; the generator learns from the discriminator.

    Privacy: one charge, "finetune" (`PoissonSampled(Gaussian)` composed over the steps). A step's sum is over the
    private images of its sample, each with generated images of its class, whose joint gradient is clipped once: L2
    sensitivity `clip_norm` under add-or-remove-one, twice that under replace-one. The generator is trained on weights
    that are noised already, so its steps are free, and so is pretraining, which sees public images alone.
    Source: Xie et al. 2018 (arXiv 1802.06739); many discriminator steps to one of the generator: Bie, Kamath, Zhang,
    Private GANs, Revisited, TMLR 2023 (arXiv 2302.02936). Differences: see docs/reference/methods.md.
    """

    name: ClassVar[str] = "dpgan"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = DpganConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Xie, Lin, Wang, Wang, Zhou: Differentially Private Generative Adversarial Network. Preprint 2018. arXiv "
        "1802.06739",
        "Bie, Kamath, Zhang: Private GANs, Revisited. TMLR 2023. arXiv 2302.02936",
        "Miyato, Koyama: cGANs with Projection Discriminator. ICLR 2018. arXiv 1802.05637",
    )

    config: DpganConfig
    _model: FromNoise | None = None

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of DP-SGD from the whole budget."""
        charge = finetune_charge(self.config.finetune, task.info, budget, accountant)
        notes = gradient_notes(self._fresh(task.info, seed=0))
        if task.public_info is not None and self.config.pretrain.steps:
            notes = (*notes, f"pretraining sees {task.public_info.name!r} alone: it costs no privacy")
        return Plan((charge,), notes=notes)

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Pretrain if there is a public set and it is asked for; then train. Each finished phase is kept."""
        config, info = self.config, private.info
        module = self._fresh(info, seed=context.seed)
        if public is not None and config.pretrain.steps:
            module.load_state_dict(context.once("pretrain", lambda: self._pretrained(module, public, info, context)))
        module.show(context.generator("shown"))
        weights = context.once(
            "finetune",
            lambda: train_privately(
                module,
                private,
                plan,
                inputs=pair_inputs,
                loss=pair_losses,
                settings=config.finetune,
                after_step=partial(generator_turn, settings=config.generator_steps, draws=context.generator),
            ),
        )
        self._model = self._loaded(_generator_alone(weights), info).to(context.device)

    def _fresh(self, info: DatasetInfo, *, seed: int) -> Adversaries:
        return Adversaries(
            fresh_discriminator(self.config.discriminator, info, public_generator(seed, "discriminator")),
            fresh_generator(self.config.generator, info, public_generator(seed, "generator")),
            shape=info.shape,
            shown=self.config.generator_steps.shown,
        )

    def _pretrained(
        self, module: Adversaries, public: PublicDataset, info: DatasetInfo, context: RunContext
    ) -> dict[str, Tensor]:
        config = self.config
        return pretrain(
            module, public, info, settings=config.pretrain, generator=config.generator_steps, context=context
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


def _generator_alone(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_GENERATOR): t for name, t in weights.items() if name.startswith(_GENERATOR)}
