"""Sampling from the posteriors of private records under a public, or privately trained, encoder."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from dpgen import validate
from dpgen.accountants.base import Accountant
from dpgen.budget import REPLACE_ONE, NeighboringRelation
from dpgen.events import AggregatePosterior, Composed, DpEvent, Gaussian, NoOp, OnShards, Unsupported
from dpgen.mechanisms.base import Mechanism, Records
from dpgen.mechanisms.context import RunContext
from dpgen.mechanisms.lipschitz import LipschitzCertificate, project_onto_ball
from dpgen.mechanisms.lipschitz.growth import ROUNDOFF
from dpgen.mechanisms.lipschitz.layers import BALL_MARGIN
from dpgen.mechanisms.lipschitz_vae.codes import clipped_codes, posterior_means
from dpgen.mechanisms.lipschitz_vae.guarantee import GuaranteeKind, MetricGuarantee, StatedGuarantee, stated
from dpgen.mechanisms.lipschitz_vae.provenance import Provenance
from dpgen.mechanisms.lipschitz_vae.refusals import check_sampling, require_certificate
from dpgen.mechanisms.lipschitz_vae.separation import code_separation, output_separation
from dpgen.noise import NoiseSource


class Mode(StrEnum):
    """Whose posterior each draw comes from."""

    RECORD = "record"
    """One draw from each record's own, in their order."""
    AGGREGATE = "aggregate"
    """Each draw from that of a record chosen uniformly and secretly."""
    PRIOR = "prior"
    """From the prior: no record is read."""


@final
@dataclass(frozen=True, kw_only=True)
class LipschitzVaeSampling(Mechanism[Tensor]):
    """Release codes of private records under a fixed encoder, clipped to a ball, plus Gaussian noise of one deviation.

    A code is the encoder's output, projected in float64 onto the ball of `clip_radius` around 0; one that is not finite
    is 0. Whatever a decoder with public or private weights makes of released codes is post-processing, and all `draws`
    count, also those that are thrown away.

    aggregate: `draws` times a record is chosen uniformly (with `classes`, so many times in each class, among its
    records) and its noisy code released. Where there are fewer than `minimum_records` (in a class), the set is filled
    up to that number with the code 0, so nothing is refused and nothing branches on the true count; who was chosen
    stays secret. With `promised` the owner promises that there are at least so many, and the price under
    add-or-remove-one is the lower one that this allows; without it the price holds for every data set, empty ones too.
    record: the noisy code of each record, in the order of their ids. prior: codes from N(0, I).

    With `output_deviation` > 0 the noisy codes are withheld: what is released is `decoder(code)` plus Gaussian noise of
    that deviation on each pixel, and the decoder's certified constant makes the price lower (theorem C).

    Privacy: aggregate charges `AggregatePosterior(minimum_records, draws, separation)`, `OnShards` of it under
    add-or-remove-one where nothing is `promised`, and under replace-one with `classes` twice the draws, as a record may
    change its class; record charges `Gaussian(2 / separation)` under
    replace-one, and nothing prices it under add-or-remove-one, because it shows how many records there are. Weights
    that are differentially private and not `charged` yet are charged with it. One record moves the codes of one draw by
    at most `2 clip_radius`, of one draw of each class by sqrt(2) times that under replace-one. Assumed public:
    settings and class names, and `minimum_records` where it is `promised`.
    Returns: float64 `[draws, dimension]`, with classes `[classes, draws, dimension]`; images in place of the last axis
    with `output_deviation`, not clamped.
    Raises: `SensitivityError`, `PrivacyError`, `InvalidValue` on construction; `DataError` for codes of another shape.
    Source: theorems A, B1, B2 and C of docs/explanation/lipschitz-vae.md; the idea is that of Gross and Wunder 2023
    (arXiv 2304.11336), whose guarantee this is not.
    """

    name: ClassVar[str] = "lipschitz_vae_sampling"
    cites: ClassVar[tuple[str, ...]] = (
        "Gross, Wunder: Differentially Private Synthetic Data Generation via Lipschitz-Regularised Variational "
        "Autoencoders. 2023. arXiv 2304.11336",
        "Balle, Barthe, Gaboardi: Privacy Amplification by Subsampling: Tight Analyses via Couplings and Divergences. "
        "NeurIPS 2018. arXiv 1807.01647",
    )

    encoder: nn.Module | None
    weights: Provenance
    dimension: int
    clip_radius: float
    deviation: float
    mode: Mode = Mode.AGGREGATE
    draws: int | None = None
    minimum_records: int | None = None
    promised: bool = True
    classes: int | None = None
    decoder: nn.Module | None = None
    decoder_weights: Provenance | None = None
    decoder_certificate: LipschitzCertificate | None = None
    output_deviation: float = 0.0
    encoder_certificate: LipschitzCertificate | None = None
    phase: str = "posterior samples"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", Mode(self.mode))
        check_sampling(self)

    @property
    def separation(self) -> float:
        """theta: how many deviations the laws of two records' releases can lie apart."""
        if self.output_deviation == 0:
            return code_separation(self.clip_radius, self.deviation)
        # again, for the weights may have changed since; `event` asks for this before anything is charged
        certificate = require_certificate(self.decoder_certificate, self.decoder, "decoder")
        reach = self._reach
        return output_separation(
            self.clip_radius,
            deviation=self.deviation,
            output_deviation=self.output_deviation,
            lipschitz=certificate.bound,
            execution_error=certificate.growth.error(reach) + certificate.bound * reach * BALL_MARGIN,
        )

    def event(self, relation: NeighboringRelation) -> DpEvent:
        """What one release does, with what is still owed for the weights."""
        parts = self.weights.owed(relation)
        # Equal but not the same: two trainings of one price, and both are owed.
        if self.decoder_weights is not None and self.decoder_weights is not self.weights:
            parts += self.decoder_weights.owed(relation)
        own = self._own_event(NeighboringRelation(relation))
        return Composed((*parts, own)) if parts else own

    def sensitivity(self, relation: NeighboringRelation) -> float:
        """Of the codes of one draw, in L2 norm."""
        if self.mode is Mode.PRIOR:
            return 0.0
        changed = 2 if self.classes is not None and relation is REPLACE_ONE else 1  # classes that differ
        return 2 * self.clip_radius * (1 + BALL_MARGIN) * math.sqrt(changed)

    def guarantee(self, accountant: Accountant, *, delta: float, relation: NeighboringRelation) -> StatedGuarantee:
        """What one release is worth, in words and numbers.

        Raises: `PrivacyError` for an approximate accountant or weights priced under another relation;
            `UnsupportedEvent`. Warns: `NoMeaningfulGuarantee` for epsilon > 20 or delta >= 1 / minimum_records.
        """
        relation = NeighboringRelation(relation)
        central = GuaranteeKind.CENTRAL_REPLACE_ONE if relation is REPLACE_ONE else GuaranteeKind.CENTRAL_ADD_REMOVE
        kind, theorem, promise = {
            Mode.RECORD: (GuaranteeKind.LOCAL, "theorem A", ()),
            Mode.PRIOR: (GuaranteeKind.POST_PROCESSING, "proposition D2", ()),
            Mode.AGGREGATE: (
                central,
                "theorem B1" if self._needs_promise(relation) else "theorem B2",
                (f"at least {self.minimum_records} records" + (" of each class" if self.classes else ""),)
                if self._needs_promise(relation)
                else (),
            ),
        }[self.mode]
        return stated(
            self.event(relation),
            accountant,
            delta=delta,
            relation=relation,
            kind=kind,
            assumptions=(*self._weights_in_words(), *promise),
            theorem=theorem,
            records=self.minimum_records,
        )

    def _weights_in_words(self) -> tuple[str, ...]:
        parts = [("weights", self.weights)]
        if self.decoder_weights is not None and self.decoder_weights is not self.weights:
            parts.append(("weights of the decoder", self.decoder_weights))
        apart = ", whose charge is on the ledger already and not in these numbers"
        return tuple(f"{part}: {w.kind}, {w.source}{apart if w.charged else ''}" for part, w in parts)

    def metric_guarantee(self) -> MetricGuarantee:
        """Of a single noisy code: graded by the L2 distance of two images in [0, 1] of the certified shape.

        Raises: `SensitivityError` without a certificate of the encoder; `InvalidValue` where codes have no noise.
        """
        validate.positive(deviation=self.deviation)
        certificate = require_certificate(self.encoder_certificate, self.encoder, "encoder")
        error = certificate.growth.error(math.sqrt(math.prod(certificate.input_shape)))
        error += (self.dimension + 8) * ROUNDOFF * self.clip_radius  # of the projection
        return MetricGuarantee(certificate.bound / self.deviation, 2 * error / self.deviation, certificate.input_shape)

    def _needs_promise(self, relation: NeighboringRelation) -> bool:
        """Theorem B2 speaks of a replacement among the places, however many of them are filled."""
        return self.promised and relation is not REPLACE_ONE

    def _own_event(self, relation: NeighboringRelation) -> DpEvent:
        if self.mode is Mode.PRIOR:
            return NoOp()
        if self.mode is Mode.RECORD:
            if relation is REPLACE_ONE:
                return Gaussian(2 / self.separation)  # its distance is 2 / noise_multiplier under replace-one
            return Unsupported("a code for each record shows how many records there are")
        assert self.draws is not None
        assert self.minimum_records is not None
        # A record that changes its class leaves one class and joins another: both of their releases change, and
        # either change is dominated by a replacement among `minimum_records`.
        releases = 2 if self.classes is not None and relation is REPLACE_ONE else 1
        own = AggregatePosterior(self.minimum_records, releases * self.draws, self.separation)
        return own if self.promised or relation is REPLACE_ONE else OnShards(own)

    def _measure(
        self, records: Records, *, noise: NoiseSource, relation: NeighboringRelation, context: RunContext
    ) -> Tensor:
        if self.mode is Mode.PRIOR:
            assert self.draws is not None
            return torch.randn(self.draws, self.dimension, generator=context.generator(self.phase)).double()
        with context.progress.track(self.phase, 1) as advance:  # how many batches there are is private
            codes, labels = clipped_codes(self, records, context)
            if self.mode is Mode.RECORD:
                means, steps = codes[:, None], [int(i) for i in records.ids]
            else:
                means = posterior_means(self, codes, labels, records.ids, noise)
                steps = list(range(len(means)))
            released = [self._noised(one, noise, step, relation) for one, step in zip(means, steps, strict=True)]
            advance(1)
        shape = self._one_draw.shape
        whole = torch.stack(released) if released else torch.zeros(0, 1, *shape, dtype=torch.float64)
        return whole.transpose(0, 1).contiguous() if self.classes is not None else whole[:, 0]

    def _noised(self, means: Tensor, noise: NoiseSource, step: int, relation: NeighboringRelation) -> Tensor:
        """The release of one draw: `[classes or 1, dimension]`, or images."""
        bound = self.sensitivity(relation)
        codes = noise.gaussian(means.numpy(), standard_deviation=self.deviation, sensitivity=bound, step=step)
        if self.output_deviation == 0:
            return torch.from_numpy(codes)
        images = self._decoded(torch.from_numpy(codes)).numpy()
        noisy = noise.gaussian(
            images, standard_deviation=self.output_deviation, sensitivity=bound, step=step, tensor="images"
        )
        return torch.from_numpy(noisy)

    @property
    def _reach(self) -> float:
        """Norm to which noisy codes are projected before they are decoded: hardly ever, and at no price."""
        return self.clip_radius + self.deviation * (math.sqrt(self.dimension) + 8)

    def _decoded(self, codes: Tensor) -> Tensor:
        assert self.decoder is not None
        with torch.no_grad():
            exact = copy.deepcopy(self.decoder).to("cpu", torch.float64)
            images: Tensor = exact(project_onto_ball(codes, self._reach))
        return images

    @property
    def _one_draw(self) -> Tensor:
        """An empty tensor like the release of one draw."""
        one = torch.zeros(self.dimension, dtype=torch.float64)
        return one if self.output_deviation == 0 else self._decoded(one[None])[0]
