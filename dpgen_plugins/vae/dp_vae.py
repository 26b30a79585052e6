"""DP-VAE: a class-conditional VAE trained by DP-SGD, and codes drawn from a noisy normal law of each class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.split import Part
from dpgen.budget import Budget, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.data.relabelled import relabelled
from dpgen.events import Gaussian
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.from_noise import FromNoise, require_fitted
from dpgen.generators.training.private import LABEL as FINETUNE
from dpgen.generators.training.private import finetune_beside, finetune_charge, train_privately
from dpgen.generators.training.public import train
from dpgen.generators.training.settings import FinetuneSettings, PretrainSettings
from dpgen.mechanisms.context import Progress, RunContext
from dpgen.mechanisms.dp_sgd import gradient_notes
from dpgen_plugins.vae import latent_prior
from dpgen_plugins.vae.latent_prior import PriorAndDecoder
from dpgen_plugins.vae.networks import Vae, fresh_vae
from dpgen_plugins.vae.settings import LatentPriorSettings, VaeSettings
from dpgen_plugins.vae.training import ElboInputs, ElboLoss


class DpVaeConfig(GeneratorConfig):
    """Settings of DP-VAE. `finetune.views`: codes drawn for each image, averaged before its one clip."""

    vae: VaeSettings = Field(default_factory=VaeSettings)
    prior: LatentPriorSettings = Field(default_factory=LatentPriorSettings)
    pretrain: PretrainSettings | None = None
    """Ordinary training on a public set first; none where it is left out."""
    finetune: FinetuneSettings = Field(
        default_factory=lambda: FinetuneSettings(steps=600, clip_norm=0.1, learning_rate=3e-3, ema_decay=0.99)
    )


@final
class DpVae(Generator):
    """DP-SGD on the evidence lower bound; images from codes that follow each class's own noisy normal law.

    Privacy: "finetune" (`PoissonSampled(Gaussian)` composed over the steps; the code is drawn inside a record's own
    loss, whose one clip bounds encoder and decoder together: L2 sensitivity `clip_norm`, twice that under replace-one),
    then with `prior.kind = "class_normal"` "latent-moments" (`Gaussian`, one sum of vectors of length 1 at most).
    Pretraining sees public images alone.
    Source: Kingma, Welling 2014 (arXiv 1312.6114) trained by DP-SGD, as Chen et al. 2018 (arXiv 1812.02274) do; a law
    fitted to codes after training: Ghosh et al. 2020 (arXiv 1903.12436), here by noisy moments.
    """

    name: ClassVar[str] = "dp_vae"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags()
    Config: ClassVar[type[GeneratorConfig]] = DpVaeConfig
    cites: ClassVar[tuple[str, ...]] = (
        "Chen, Xiang, Xue, Li, Borisov, Kaafar, Zhu: Differentially Private Data Generative Models. Preprint 2018. "
        "arXiv 1812.02274",
        "Kingma, Welling: Auto-Encoding Variational Bayes. ICLR 2014. arXiv 1312.6114",
        "Ghosh, Sajjadi, Vergari, Black, Schölkopf: From Variational to Deterministic Autoencoders. ICLR 2020. arXiv "
        "1903.12436",
    )

    config: DpVaeConfig
    _model: FromNoise | None = None

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The noise of the moments from their share of the budget, that of DP-SGD from what they leave."""
        config, info = self.config, task.info
        notes = gradient_notes(fresh_vae(config.vae, info, seed=0))
        if task.public_info is not None and config.pretrain is not None:
            notes = (*notes, f"pretraining sees {task.public_info.name!r} alone: it costs no privacy")
        if config.prior.kind == "normal":
            return Plan((finetune_charge(config.finetune, info, budget, accountant),), notes=notes)
        moments = Part(latent_prior.LABEL, Gaussian, share=config.prior.budget_share)
        split, cost = finetune_beside(
            (moments,), config.finetune, info, budget, accountant, cause="the moments of the codes raise"
        )
        first, second = split.plan.charges
        return Plan((second, first), notes=(*notes, cost))

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Pretrain if asked for, train, and look at the codes. Each finished phase is kept for a resumed run."""
        config, info = self.config, private.info
        vae = fresh_vae(config.vae, info, seed=context.seed)
        inputs, loss = ElboInputs(config.vae.latent), ElboLoss(config.vae)
        if public is not None and config.pretrain is not None:
            known = relabelled(public, info.class_names)
            pretraining = partial(
                train, vae, inputs, loss, known.images, known.labels, settings=config.pretrain, context=context
            )
            vae.load_state_dict(context.once("pretrain", partial(pretraining, phase="pretrain")))
        training = partial(train_privately, vae, private, plan, inputs=inputs, loss=loss, settings=config.finetune)
        vae.load_state_dict(context.once(FINETUNE, training))
        self._model = self._with_prior(vae, private, plan, context).to(context.device)

    def _with_prior(self, vae: Vae, private: PrivateDataset, plan: Plan, context: RunContext) -> FromNoise:
        settings = self.config.prior
        model = self._around(vae, private.info)
        if settings.kind == "class_normal":
            measure = partial(latent_prior.latent_prior, vae.encoder, private, plan, settings, context)
            model.network.load_state_dict(context.once(latent_prior.LABEL, measure), strict=False)
        return model

    def _around(self, vae: Vae, info: DatasetInfo) -> FromNoise:
        latent = self.config.vae.latent
        network = PriorAndDecoder(vae.decoder, latent=latent, temperature=self.config.prior.temperature)
        return FromNoise(network, latent, info)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights of the decoder and the laws of the codes."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._model = self._around(fresh_vae(self.config.vae, task.info, seed=0), task.info)
        self._model.network.load_state_dict(dict(state))
