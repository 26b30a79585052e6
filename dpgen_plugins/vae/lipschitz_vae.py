"""Lipschitz-VAE: a public autoencoder, and private codes protected by the noise that they are sampled with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Final, final

from pydantic import Field
from torch import Tensor

from dpgen.accountants.base import Accountant
from dpgen.accountants.calibration.search import calibrate
from dpgen.budget import Budget, Charge, Plan
from dpgen.data.datasets import PrivateDataset, PublicDataset, SyntheticDataset
from dpgen.data.info import DatasetInfo
from dpgen.errors import InvalidValue, PlanMismatch
from dpgen.events import AggregatePosterior, DpEvent, OnShards
from dpgen.generators.base import Generator, GeneratorConfig, Tags, Task
from dpgen.generators.from_noise import FromNoise, require_fitted
from dpgen.generators.training.public import PRINT_TO_HAND, train
from dpgen.generators.training.settings import PretrainSettings
from dpgen.mechanisms.context import Progress, RunContext
from dpgen.mechanisms.lipschitz import certify
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling, Provenance
from dpgen_plugins.vae.certified import RADIUS, BlurredReconstruction, CertifiedVae, CodeInputs, fresh_certified_vae
from dpgen_plugins.vae.deconvolved import LawsAndDecoder, deconvolved_laws
from dpgen_plugins.vae.settings import CertifiedVaeSettings, PosteriorSettings

LABEL: Final = "posterior-samples"
_DRAWS_FOR_A_PLACE: Final = 10
_STEP: Final = 2.0**-20
"""Deviations are multiples of this, so that the one of a plan can be read off its event."""


class LipschitzVaeConfig(GeneratorConfig):
    """Settings of Lipschitz-VAE."""

    vae: CertifiedVaeSettings = Field(default_factory=CertifiedVaeSettings)
    pretrain: PretrainSettings = Field(default_factory=lambda: PretrainSettings(jitter=1.0))
    posterior: PosteriorSettings = Field(default_factory=PosteriorSettings)


@final
class LipschitzVae(Generator):
    """Codes of private images under an encoder that saw public ones alone, sampled with noise; no private training.

    For each class noisy codes of secretly chosen records are released; the law behind them is fitted to them, and
    images are decoded from codes that follow it. Labels are never copied: a class's codes are chosen among its own
    records and say nothing else of their labels, and how many records a class has is hidden by filling it up.

    Privacy: one charge, "posterior-samples": `AggregatePosterior(places, draws, separation)`, `OnShards` where the
    places are not promised; see `LipschitzVaeSampling`. The codes of one draw move by at most 2 radii, sqrt(2) times
    that under replace-one. The weights are public, fitting and decoding post-processing.
    Source: the idea of Gross and Wunder 2023 (arXiv 2304.11336); the guarantee is theorems B1 and B2 of
    docs/explanation/lipschitz-vae.md.
    """

    name: ClassVar[str] = "lipschitz_vae"
    api_version: ClassVar[int] = 1
    tags: ClassVar[Tags] = Tags(needs_public=True)
    Config: ClassVar[type[GeneratorConfig]] = LipschitzVaeConfig
    cites: ClassVar[tuple[str, ...]] = (
        *LipschitzVaeSampling.cites,
        "Prach, Lampert: Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks. ECCV 2022. arXiv "
        "2208.03160",
    )

    config: LipschitzVaeConfig
    _model: FromNoise | None = None

    def plan(self, task: Task, budget: Budget, accountant: Accountant) -> Plan:
        """The least noise on codes that the budget allows."""
        if task.public_info is None:
            raise InvalidValue("lipschitz_vae learns its encoder from public images; found none. Set data.public.")
        vae = fresh_certified_vae(self.config.vae, task.info, seed=0)

        def event(noise_multiplier: float) -> DpEvent:
            deviation = math.ceil(2 * RADIUS * noise_multiplier / _STEP) * _STEP
            return self._sampling(vae, task.info, deviation, source="").event(budget.relation)

        charge = Charge(LABEL, event(calibrate(accountant, budget, event)))
        deviation = _deviation(charge.event)
        places = self._places(task.info)
        return Plan(
            (charge,),
            notes=(
                f"codes of at least {places} places of each class, noise of deviation {deviation / RADIUS:.4g} radii "
                f"(separation {2 * RADIUS / deviation:.4g})",
                f"the autoencoder sees {task.public_info.name!r} alone: it costs no privacy",
            ),
        )

    def fit(self, private: PrivateDataset, public: PublicDataset | None, plan: Plan, context: RunContext) -> None:
        """Train on public images, release noisy codes, fit their laws. Finished phases are kept for a resumed run."""
        config, info = self.config, private.info
        if public is None:
            raise InvalidValue("lipschitz_vae learns its encoder from public images; found none. Set data.public.")
        vae = fresh_certified_vae(config.vae, info, seed=context.seed)
        variation = PRINT_TO_HAND.times(config.pretrain.jitter) if config.pretrain.jitter else None
        training = partial(
            train,
            *(vae, CodeInputs(config.vae.latent), BlurredReconstruction(config.vae), public.images, public.labels),
            settings=config.pretrain,
            context=context,
            phase="pretrain",
            variation=variation,
        )
        vae.load_state_dict(context.once("pretrain", training))
        deviation = _deviation(plan[LABEL])
        mechanism = self._sampling(vae, info, deviation, source=public.name)
        codes = context.once(LABEL, lambda: {"codes": private.release(mechanism, label=LABEL)})["codes"]
        mean, factor = deconvolved_laws(codes.cpu(), deviation)
        model = self._around(vae, info)
        model.network.load_state_dict({"mean": mean.float(), "factor": factor.float()}, strict=False)
        self._model = model.to(context.device)

    def sample(
        self, count: int, *, labels: Tensor | None = None, seed: int, progress: Progress | None = None
    ) -> SyntheticDataset:
        """See `Generator.sample`."""
        return require_fitted(self._model).sample(count, labels=labels, seed=seed, progress=progress)

    def state_dict(self) -> dict[str, Tensor]:
        """The weights of the decoder, which are public, and the laws of the codes."""
        return require_fitted(self._model).state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], task: Task) -> None:
        """See `Generator.load_state_dict`."""
        self._model = self._around(fresh_certified_vae(self.config.vae, task.info, seed=0), task.info)
        self._model.network.load_state_dict(dict(state))

    def _around(self, vae: CertifiedVae, info: DatasetInfo) -> FromNoise:
        network = LawsAndDecoder(
            vae.decoder,
            classes=info.classes,
            latent=self.config.vae.latent,
            radius=RADIUS,
            temperature=self.config.posterior.temperature,
        )
        return FromNoise(network, self.config.vae.latent, info)

    def _places(self, info: DatasetInfo) -> int:
        return self.config.posterior.places or max(1, info.nominal_records // info.classes)

    def _sampling(self, vae: CertifiedVae, info: DatasetInfo, deviation: float, *, source: str) -> LipschitzVaeSampling:
        places, certified = self._places(info), bool(source) and self.config.vae.certified
        return LipschitzVaeSampling(
            encoder=vae.encoder,
            weights=Provenance.public(source or "public images"),
            dimension=self.config.vae.latent,
            clip_radius=RADIUS,
            deviation=deviation,
            draws=self.config.posterior.draws or _DRAWS_FOR_A_PLACE * places,
            minimum_records=places,
            promised=self.config.posterior.promised,
            classes=info.classes,
            encoder_certificate=certify(vae.encoder, tuple(info.shape)) if certified else None,
            phase=LABEL,
        )


def _deviation(event: DpEvent) -> float:
    """The multiple of `_STEP` that a planned event was made with."""
    match event:
        case AggregatePosterior(separation=separation) | OnShards(event=AggregatePosterior(separation=separation)):
            return round(2 * RADIUS / separation / _STEP) * _STEP
    raise PlanMismatch(expected=f"an AggregatePosterior event under {LABEL!r}", got=str(event))
