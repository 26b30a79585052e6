"""Faults of mechanisms that sample the posteriors of private records, each in one method."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from dpgen.errors import DataError
from dpgen.events import Gaussian, PoissonSampled, SelfComposed
from dpgen.mechanisms.lipschitz_vae import LipschitzVaeSampling
from dpgen.mechanisms.lipschitz_vae.codes import clipped_codes
from dpgen.plugins.examples import lipschitz_vae_sampling
from dpgen.testing.conformance import TOY_INFO
from zoo.fault import EMPTY, FLOW, MOVES, NOISE, RELEASE, faults


class QuarterOfTheBall(LipschitzVaeSampling):
    """Prices codes as if they were clipped to a quarter of their ball. Privacy: wrong."""

    @property
    def separation(self):
        return super().separation / 4

    def sensitivity(self, relation):
        return super().sensitivity(relation) / 4


class DiscardedDraws(LipschitzVaeSampling):
    """Draws four times as many codes as it charges and throws most away. Privacy: wrong."""

    def _measure(self, records, **given):
        more = dataclasses.replace(self, draws=4 * self.draws)
        return LipschitzVaeSampling._measure(more, records, **given)[:, : self.draws]


class DrawsOfTheCount(LipschitzVaeSampling):
    """Draws as many codes as there are records. Privacy: wrong."""

    def _measure(self, records, **given):
        return super()._measure(records, **given)[:, : len(records.ids)]


class CopiedLabels(LipschitzVaeSampling):
    """Releases beside each code the label of the record that it came from. Privacy: wrong."""

    def _measure(self, records, *, noise, **given):
        codes = super()._measure(records, noise=noise, **given)
        chosen = noise.choose(records.ids, draws=self.draws, least=self.minimum_records, step=0)
        labels = dict(zip(records.ids.tolist(), records.batch(records.ids)[1].tolist(), strict=True))
        return codes, torch.tensor([labels.get(int(record), 0) for record in chosen])


class NoiseOfTheRecord(LipschitzVaeSampling):
    """Gives dim images less noise than bright ones. Privacy: wrong."""

    def _noised(self, means, noise, step, relation):
        own = dataclasses.replace(self, deviation=self.deviation * (0.5 + float(means.norm())))
        return LipschitzVaeSampling._noised(own, means, noise, step, relation)


class NaivePair(LipschitzVaeSampling):
    """Charges the pair of the Poisson-sampled Gaussian, self-composed, under replace-one as well. Privacy: wrong."""

    def _own_event(self, relation):
        sampled = PoissonSampled(1 / self.minimum_records, Gaussian(1 / self.separation))
        return SelfComposed(sampled, self.draws)


class KnownChoices(LipschitzVaeSampling):
    """Chooses the records by a public seed. Privacy: wrong."""

    def _measure(self, records, *, noise, relation, context):
        codes, _ = clipped_codes(self, records, context)
        places = torch.cat((codes, torch.zeros(max(1, self.minimum_records), self.dimension, dtype=torch.float64)))
        generator = np.random.default_rng(0)
        released = [
            self._noised(places[generator.integers(len(places), size=self.classes)], noise, step, relation)
            for step in range(self.draws)
        ]
        return torch.stack(released, dim=1)


class FilledByOne(LipschitzVaeSampling):
    """Prices eight places of a class and fills up to one. Privacy: wrong."""

    def _measure(self, records, **given):
        return LipschitzVaeSampling._measure(dataclasses.replace(self, minimum_records=1), records, **given)


class KeepsFromTheRecords(LipschitzVaeSampling):
    """Blanks released codes that lie close to a private one. Privacy: wrong."""

    def _measure(self, records, **given):
        released = super()._measure(records, **given)
        codes, _ = clipped_codes(self, records, given["context"])
        far_away = torch.full((1, self.dimension), 1e3, dtype=torch.float64)
        near = torch.cdist(released.flatten(0, 1), torch.cat((codes, far_away))).amin(1)
        return torch.where((near < near.median()).view(*released.shape[:2], 1), 0.0, released)


class RefusesFewRecords(LipschitzVaeSampling):
    """Refuses classes with fewer records than it is priced for. Privacy: wrong."""

    def _measure(self, records, **given):
        if len(records.ids) < TOY_INFO.nominal_records:
            raise DataError("expected more records; found fewer. Declare another least number.")
        return super()._measure(records, **given)


def make(cls: type[LipschitzVaeSampling]) -> LipschitzVaeSampling:
    honest = lipschitz_vae_sampling(TOY_INFO)
    settings = {field.name: getattr(honest, field.name) for field in dataclasses.fields(honest)}
    return cls(**(settings | ({"classes": None} if cls is CopiedLabels else {})))


FAULTS = faults(
    make,
    (QuarterOfTheBall, MOVES, ()),
    (DiscardedDraws, NOISE, ()),
    (DrawsOfTheCount, RELEASE, ()),
    (CopiedLabels, RELEASE, ()),
    (NoiseOfTheRecord, FLOW, (NOISE,)),
    (NaivePair, NOISE, ()),
    (KnownChoices, NOISE, ()),
    (FilledByOne, NOISE, ()),
    (KeepsFromTheRecords, RELEASE, ()),
    (RefusesFewRecords, FLOW, (EMPTY,)),
)
