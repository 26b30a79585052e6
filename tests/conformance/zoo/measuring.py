"""Faults of mechanisms, each in one method."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from dpgen.errors import DataError
from dpgen.events import DiscreteGaussian, Gaussian
from dpgen.testing.conformance import TOY_INFO
from zoo.fault import CHARGES, COMPUTE, EMPTY, FILES, FLOW, GLOBAL, LOGS, MOVES, NOISE, RELEASE, SEEDS, faults
from zoo.honest import Sums, clipped

KEEPS = "check_keeps_nothing_of_the_records"
EVENT = "check_event_follows_from_public_settings"
BOUND = "check_sensitivity_is_a_bound"
TOLD = "check_noise_is_told_the_declared_sensitivity"


class HalfSensitivity(Sums):
    """Declares half the sensitivity. Privacy: wrong."""

    def sensitivity(self, relation):
        return super().sensitivity(relation) / 2


class ForgetsReplacement(Sums):
    """Declares under replace-one what holds under add-or-remove-one. Privacy: wrong."""

    def sensitivity(self, relation):
        return self.clip


class Unclipped(Sums):
    """Clips nothing. Privacy: wrong."""

    def contributions(self, images, labels):
        return self.rows(images.double(), labels)


class ClipsRows(Sums):
    """Clips each of four views of an image instead of the image. Privacy: wrong."""

    def contributions(self, images, labels):
        return sum(super(ClipsRows, self).contributions(images.roll(k, -1), labels) for k in range(4))


class BatchStatistics(Sums):
    """Scales each image by the mean brightness of its batch before the clip. Privacy: wrong."""

    def rows(self, images, labels):
        return super().rows(images / images.mean().clamp(min=1e-3) / 4, labels)


class PrivateMaximum(Sums):
    """Divides all images by the brightest private pixel. Privacy: wrong."""

    def _measure(self, records, **given):
        images, _ = records.batch(records.ids)
        return Scaled(info=self.info, factor=float(images.max()) if len(images) else 1.0)._measure(records, **given)


@dataclass(frozen=True, kw_only=True)
class Scaled(Sums):
    """Sums of images divided by a factor."""

    factor: float = 1.0

    def rows(self, images, labels):
        return super().rows(images / self.factor, labels) / 3


class HalfNoise(Sums):
    """Draws half the noise that it charges. Privacy: wrong."""

    def noised(self, total, noise, relation):
        deviation, bound = self.noise_multiplier * self.clip / 2, self.sensitivity(relation)
        return torch.from_numpy(noise.gaussian(total.numpy(), standard_deviation=deviation, sensitivity=bound))


class OrdinaryNoise(Sums):
    """Draws its noise from torch.randn. Privacy: wrong."""

    def noised(self, total, noise, relation):
        return total + self.noise_multiplier * self.clip * torch.randn(total.shape, dtype=torch.float64)


class NoNoise(Sums):
    """Releases the exact sums. Privacy: wrong."""

    def noised(self, total, noise, relation):
        return total


class TwoLooks(Sums):
    """Releases twice and charges once. Privacy: wrong."""

    def noised(self, total, noise, relation):
        return super().noised(total, noise.under("again"), relation) + super().noised(total, noise, relation)


class TellsAnotherSensitivity(Sums):
    """Tells the noise source another sensitivity than it states. Privacy: wrong."""

    def noised(self, total, noise, relation):
        deviation, bound = self.noise_multiplier * self.clip, 1.5 * self.sensitivity(relation)
        return torch.from_numpy(noise.gaussian(total.numpy(), standard_deviation=deviation, sensitivity=bound))


class TrueCount(Sums):
    """Divides the noisy sums by the true number of records. Privacy: wrong."""

    def _measure(self, records, **given):
        return super()._measure(records, **given) / max(1, len(records.ids))


class PresentClasses(Sums):
    """Sums over the classes that are there: a shape of the data. Privacy: wrong."""

    def _measure(self, records, *, noise, relation, context):
        images, labels = records.batch(records.ids)
        rows = clipped(self.rows(images.double(), labels), self.clip).reshape(len(labels), self.info.classes, -1)
        there = labels.unique()
        noisy = super().noised(rows.sum(0)[there], noise, relation)
        whole = torch.zeros(rows.shape[1:], dtype=torch.float64)
        whole[there] = noisy
        return whole.flatten()


class StopsEarly(Sums):
    """Stops its steps when the private images are well fitted. Privacy: wrong."""

    def event(self, relation):
        from dpgen.events import SelfComposed

        return SelfComposed(Gaussian(self.noise_multiplier), 3)

    def _measure(self, records, *, noise, relation, context):
        brightest = float(records.batch(records.ids)[0].max()) if len(records.ids) else 0.0
        steps = 3 if brightest > 0.9 else 1
        return sum(super(StopsEarly, self)._measure(records, noise=noise.under(str(step)), relation=relation,
                                                    context=context) for step in range(steps))  # fmt: skip


class RateOfTheTrueCount(Sums):
    """Takes its sampling probability from the true number of records. Privacy: wrong."""

    def event(self, relation):
        from dpgen.events import PoissonSampled

        return PoissonSampled(8 / 24, Gaussian(self.noise_multiplier))

    def _measure(self, records, *, noise, **given):
        noise.poisson_subset(records.ids, probability=min(1.0, 8 / max(1, len(records.ids))))
        return super()._measure(records, noise=noise, **given)


class SkipsTheEmpty(Sums):
    """Draws no noise where there is no record. Privacy: wrong."""

    def _measure(self, records, **given):
        if len(records.ids) == 0:
            return torch.zeros(self.info.classes * 64, dtype=torch.float64)
        return super()._measure(records, **given)


class LogsCounts(Sums):
    """Writes the number of records into the log. Privacy: wrong."""

    def _measure(self, records, **given):
        logging.getLogger("zoo").info("summing %d records", len(records.ids))
        return super()._measure(records, **given)


class PrintsCounts(Sums):
    """Prints the number of records. Privacy: wrong."""

    def _measure(self, records, **given):
        print("found", len(records.ids), "images")
        return super()._measure(records, **given)


class WarnsWithCounts(Sums):
    """Warns with the number of records. Privacy: wrong."""

    def _measure(self, records, **given):
        warnings.warn(f"only {len(records.ids)} images", stacklevel=2)
        return super()._measure(records, **given)


class ShowsBatches(Sums):
    """Shows the number of private batches as progress. Privacy: wrong."""

    def _measure(self, records, *, context, **given):
        with context.progress.track("batches", len(records.ids) // 2) as advance:
            advance(1)
        return super()._measure(records, context=context, **given)


class QuotesRecords(Sums):
    """Quotes a label in its error. Privacy: wrong."""

    def contributions(self, images, labels):
        if len(labels) and int(labels.max()) >= self.info.classes:
            raise DataError(f"no class {int(labels.max())}")
        return super().contributions(images, labels)


class WritesSideFile(Sums):
    """Saves the exact sums beside the run. Privacy: wrong."""

    def noised(self, total, noise, relation):
        torch.save(total, "sums.pt")
        return super().noised(total, noise, relation)


class ReseedsTorch(Sums):
    """Seeds the global generator of torch. Privacy: right."""

    def noised(self, total, noise, relation):
        torch.manual_seed(0)
        return super().noised(total, noise, relation)


class ReseedsNumpy(Sums):
    """Draws from the global generator of numpy. Privacy: right."""

    def noised(self, total, noise, relation):
        np.random.rand()  # noqa: NPY002
        return super().noised(total, noise, relation)


class KeepsSums(Sums):
    """Keeps the exact sums for later. Privacy: wrong."""

    def noised(self, total, noise, relation):
        object.__setattr__(self, "kept", total)
        return super().noised(total, noise, relation)


class KeepsRecords(Sums):
    """Keeps the handle on the records. Privacy: wrong."""

    def _measure(self, records, **given):
        object.__setattr__(self, "kept", records)
        return super()._measure(records, **given)


class EventOfTheData(Sums):
    """States an event that depends on what was read. Privacy: wrong."""

    def event(self, relation):
        return Gaussian(self.noise_multiplier * getattr(self, "factor", 1.0))

    def noised(self, total, noise, relation):
        object.__setattr__(self, "factor", 1.0 + float(total.abs().sum()))
        return super().noised(total, noise, relation)


class InfiniteSensitivity(Sums):
    """Has no finite sensitivity under replace-one. Privacy: wrong."""

    def sensitivity(self, relation):
        return float("inf")


class SmallerReplacement(Sums):
    """Says that replacing a record moves less than removing it. Privacy: wrong."""

    def sensitivity(self, relation):
        return 4 * self.clip if relation == "add_or_remove_one" else 2.5 * self.clip


class BatchMeans(Sums):
    """Weighs each image by the size of its physical batch. Privacy: right."""

    def contributions(self, images, labels):
        return super().contributions(images, labels) / max(1, len(images)) ** 0.5


class CrashesOnNothing(Sums):
    """Fails where there is no record. Privacy: right."""

    def _measure(self, records, **given):
        records.batch(records.ids)[0].max()
        return super()._measure(records, **given)


class FailsUnderReplacement(Sums):
    """Works under one relation only. Privacy: right."""

    def noised(self, total, noise, relation):
        if relation == "replace_one":
            raise NotImplementedError("replace-one")
        return super().noised(total, noise, relation)


class FailsWithoutAClass(Sums):
    """Fails where a class is empty, and only there. Privacy: wrong."""

    def _measure(self, records, **given):
        _, labels = records.batch(records.ids)
        if 1 < len(labels.unique()) < self.info.classes:
            raise ArithmeticError("a class is missing")
        return super()._measure(records, **given)


class SaysNothing(Sums):
    """Does not say what it charges."""


class TooManyVotes(Sums):
    """Counts every pixel as a vote and declares two. Privacy: wrong."""

    def event(self, relation):
        return DiscreteGaussian(3.0, 2 if relation == "add_or_remove_one" else 4)

    def sensitivity(self, relation):
        return self.event(relation).touched ** 0.5

    def noised(self, total, noise, relation):
        counts = total.ceil().long().numpy()
        return torch.from_numpy(noise.discrete_gaussian(counts, scale=3.0, sensitivity=self.sensitivity(relation)))

    def contributions(self, images, labels):
        return (self.rows(images, labels) > 0.3).double()


class TooLittleDiscreteNoise(Sums):
    """Draws discrete noise of a smaller scale than it charges. Privacy: wrong."""

    def event(self, relation):
        return DiscreteGaussian(40.0, 64 if relation == "add_or_remove_one" else 128)

    def sensitivity(self, relation):
        return self.event(relation).touched ** 0.5

    def noised(self, total, noise, relation):
        counts = total.long().numpy()
        return torch.from_numpy(noise.discrete_gaussian(counts, scale=20.0, sensitivity=self.sensitivity(relation)))

    def contributions(self, images, labels):
        return (self.rows(images, labels) > 0.3).double()


FAULTS = faults(
    lambda cls: cls(info=TOY_INFO),
    (HalfSensitivity, MOVES, (NOISE,)),
    (ForgetsReplacement, MOVES, (NOISE,)),
    (Unclipped, MOVES, ()),
    (ClipsRows, MOVES, ()),
    (BatchStatistics, MOVES, (COMPUTE,)),
    (PrivateMaximum, MOVES, ()),
    (TooManyVotes, MOVES, ()),
    (HalfNoise, NOISE, ()),
    (OrdinaryNoise, NOISE, (GLOBAL, SEEDS, RELEASE)),
    (NoNoise, NOISE, (RELEASE, COMPUTE)),
    (TwoLooks, NOISE, ()),
    (TooLittleDiscreteNoise, NOISE, ()),
    (TellsAnotherSensitivity, TOLD, (NOISE,)),
    (TrueCount, RELEASE, ()),
    (PresentClasses, FLOW, (EMPTY, "check_errors_carry_no_record")),
    (StopsEarly, FLOW, (NOISE, EVENT)),
    (RateOfTheTrueCount, FLOW, (NOISE,)),
    (SkipsTheEmpty, FLOW, ()),
    (ShowsBatches, FLOW, ()),
    (LogsCounts, LOGS, ()),
    (PrintsCounts, LOGS, ()),
    (WarnsWithCounts, LOGS, ()),
    (QuotesRecords, "check_errors_carry_no_record", ()),
    (WritesSideFile, FILES, ()),
    (ReseedsTorch, GLOBAL, ()),
    (ReseedsNumpy, GLOBAL, ()),
    (KeepsSums, KEEPS, ()),
    (KeepsRecords, KEEPS, ()),
    (EventOfTheData, EVENT, (KEEPS,)),
    (InfiniteSensitivity, BOUND, (CHARGES, "check_runs_on_toy_data", FLOW)),
    (SmallerReplacement, BOUND, (NOISE,)),
    (BatchMeans, COMPUTE, (MOVES,)),
    (CrashesOnNothing, EMPTY, (FLOW,)),
    (FailsUnderReplacement, "check_runs_on_toy_data", ()),
    (FailsWithoutAClass, FLOW, ("check_runs_on_toy_data",)),
    (SaysNothing, "check_docstring_states_the_privacy", ()),
)
