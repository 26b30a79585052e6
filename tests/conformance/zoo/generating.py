"""Faults of generators, each in one method."""

from __future__ import annotations

import os

import numpy as np
import torch

from dpgen import Charge, GeneratorConfig, Plan, SyntheticDataset, Tags
from dpgen.errors import PrivacyError
from dpgen.events import Gaussian
from zoo.fault import CHARGES, FILES, FLOW, GLOBAL, LOGS, READS, REFUSES, RELEASE, SEEDS, faults
from zoo.honest import LABEL, Means, Sums

LATE = "check_sampling_reads_nothing_private"
RAW = "check_keeps_no_raw_data_in_state"
SHAPES = "check_shapes_range_labels"
ASKED = "check_makes_the_labels_that_are_asked_for"
REPEATS = "check_sampling_repeats_itself"
TRIP = "check_state_round_trip"
PUBLIC = "check_plan_depends_on_public_facts_alone"
RESUMES = "check_resumes_to_the_same_result"
STATES = "check_states_its_privacy"


class RawImageInState(Means):
    """Keeps a private image in its state. Privacy: wrong."""

    def fit(self, private, public, plan, context):
        super().fit(private, public, plan, context)
        hidden = private._records._records
        self.nearest = hidden.batch(hidden.ids[:1])[0]  # past the handle, as a debugger would

    def state_dict(self):
        return super().state_dict() | {"nearest": self.nearest}


class ReadsLabels(Means):
    """Reads the labels without a charge. Privacy: wrong."""

    def fit(self, private, public, plan, context):
        super().fit(private, public, plan, context)
        _, labels = private._records.batch(private._records.ids)
        self.means = self.means * (1 + labels.bincount(minlength=3).float().reshape(3, 1, 1, 1) / 100)


class ReadsFirst(Means):
    """Looks at the records before the charge. Privacy: wrong."""

    def release(self, private, plan, context):
        private._records.batch(private._records.ids)
        return super().release(private, plan, context)


class SwallowsRefusals(Means):
    """Goes on when a charge is refused. Privacy: right."""

    def release(self, private, plan, context):
        try:
            return super().release(private, plan, context)
        except PrivacyError:
            return torch.zeros(3 * 64, dtype=torch.float64)


class KeepsTheHandle(Means):
    """Keeps the data set and looks at it when sampling. Privacy: wrong."""

    def fit(self, private, public, plan, context):
        super().fit(private, public, plan, context)
        self.private = private

    def draw(self, means, labels, seed):
        return super().draw(means, labels, seed) * (1 - len(self.private._records.ids) / 1000)


class UnchargedCache(Means):
    """Takes a later answer from a cache that was never charged. Privacy: wrong."""

    def __init_subclass__(cls) -> None:
        cls.cache = {}

    cache: dict = {}  # noqa: RUF012

    def release(self, private, plan, context):
        if "sums" not in self.cache:
            self.cache["sums"] = super().release(private, plan, context)
        return self.cache["sums"]


class OtherNoise(Means):
    """Charges another noise than it planned. Privacy: right."""

    def release(self, private, plan, context):
        return super().release(private, Plan((Charge(LABEL, Gaussian(2 * plan[LABEL].noise_multiplier)),)), context)


class LeavesOutACharge(Means):
    """Plans two charges and makes one. Privacy: right."""

    def plan(self, task, budget, accountant):
        return Plan((*super().plan(task, budget, accountant).charges, Charge("votes", Gaussian(1e6))))


class OverBudget(Means):
    """Plans half the noise that the budget asks for. Privacy: wrong."""

    def plan(self, task, budget, accountant):
        return Plan((Charge(LABEL, Gaussian(super().plan(task, budget, accountant)[LABEL].noise_multiplier / 2)),))


class _Remembering(Sums):
    def _measure(self, records, **given):
        PlansFromData.seen = len(records.ids)
        return super()._measure(records, **given)


class PlansFromData(Means):
    """Plans with what it remembers of an earlier fit. Privacy: wrong."""

    mechanism = _Remembering
    seen = 0

    def plan(self, task, budget, accountant):
        factor = 1 + PlansFromData.seen / 1000
        return Plan((Charge(LABEL, Gaussian(factor * super().plan(task, budget, accountant)[LABEL].noise_multiplier)),))


class PlansFromRanks(Means):
    """Plans more noise on more processes. Privacy: right."""

    def plan(self, task, budget, accountant):
        factor = float(os.environ.get("WORLD_SIZE", "1"))
        return Plan((Charge(LABEL, Gaussian(factor * super().plan(task, budget, accountant)[LABEL].noise_multiplier)),))


class _Counting(Sums):
    def _measure(self, records, **given):
        NamesFilesByCount.seen = len(records.ids)
        return super()._measure(records, **given)


class NamesFilesByCount(Means):
    """Publishes a file whose name holds the number of records. Privacy: wrong."""

    mechanism = _Counting
    seen = 0

    def fit(self, private, public, plan, context):
        super().fit(private, public, plan, context)
        context.publish(f"means-of-{self.seen}.json", b"{}")


class WritesBeside(Means):
    """Writes a file beside the run. Privacy: right."""

    def finish(self, sums, info):
        np.save("means.npy", sums.numpy())
        super().finish(sums, info)


class SeedsGlobally(Means):
    """Seeds all global generators. Privacy: right."""

    def finish(self, sums, info):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        super().finish(sums, info)


class UnseededWeights(Means):
    """Starts from weights that no seed repeats. Privacy: right."""

    def finish(self, sums, info):
        start = torch.Generator()
        start.seed()
        super().finish(sums + torch.rand(sums.shape, generator=start), info)


class UnseededSample(Means):
    """Draws samples from the global generator. Privacy: right."""

    def draw(self, means, labels, seed):
        return (means[labels] + 0.05 * torch.randn(len(labels), *means.shape[1:])).clamp(0, 1)


class CountsItsSamples(Means):
    """Lets a sample depend on how many were drawn before. Privacy: right."""

    drawn = 0

    def draw(self, means, labels, seed):
        self.drawn += 1
        return super().draw(means, labels, seed + self.drawn)


class SortsLabels(Means):
    """Gives the labels back in another order. Privacy: right."""

    def sample(self, count, *, labels=None, seed, progress=None):
        return super().sample(count, labels=None if labels is None else labels.sort().values, seed=seed)


class IgnoresLabels(Means):
    """Makes the same images whatever class is asked for. Privacy: right."""

    def draw(self, means, labels, seed):
        return super().draw(means, torch.zeros_like(labels), seed)


class OneClassByDefault(Means):
    """Makes one class only when none is asked for. Privacy: right."""

    def sample(self, count, *, labels=None, seed, progress=None):
        return super().sample(count, labels=torch.zeros(count, dtype=torch.int64) if labels is None else labels,
                              seed=seed)  # fmt: skip


class AcceptsAnyLabel(Means):
    """Takes labels of no class. Privacy: right."""

    def check_labels(self, labels, count, classes):
        return None

    def draw(self, means, labels, seed):
        return super().draw(means, labels % len(means), seed)


class OutOfRange(Means):
    """Makes pixels above 1. Privacy: right."""

    def draw(self, means, labels, seed):
        return super().draw(means, labels, seed) + 0.5


class NotANumber(Means):
    """Makes images with NaN. Privacy: right."""

    def draw(self, means, labels, seed):
        return super().draw(means, labels, seed) / 0 * 0


class Bytes(Means):
    """Makes 8-bit images. Privacy: right."""

    def draw(self, means, labels, seed):
        return (255 * super().draw(means, labels, seed)).to(torch.uint8)


class OneImageShort(Means):
    """Makes an image less than asked for. Privacy: right."""

    def sample(self, count, *, labels=None, seed, progress=None):
        made = super().sample(count, labels=labels, seed=seed)
        return SyntheticDataset(made.images[:-1], made.labels, made.class_names)


class ForgetsWeights(Means):
    """Leaves a tensor out of its state. Privacy: right."""

    def state_dict(self):
        return {"brightness": self.require_fitted().mean((1, 2, 3))}

    def load_state_dict(self, state, task):
        self.means = state["brightness"].reshape(3, 1, 1, 1).expand(3, 1, 8, 8).clone()
        self.class_names = task.info.class_names


class SamplesUnfitted(Means):
    """Samples before it was fitted. Privacy: right."""

    class_names = ("low", "middle", "high")

    def sample(self, count, *, labels=None, seed, progress=None):
        self.means = torch.zeros(3, 1, 8, 8) if self.means is None else self.means
        return super().sample(count, labels=labels, seed=seed)


class ForgetsToResume(Means):
    """Does not repeat a phase that was begun before the run was stopped. Privacy: right."""

    def release(self, private, plan, context):
        if context.checkpoints.load("begun") is not None:
            return torch.zeros(3 * 64, dtype=torch.float64)
        context.checkpoints.save("begun", {})
        return super().release(private, plan, context)


class PlansWithoutPublicData(Means):
    """Needs public data and plans without. Privacy: right."""

    tags = Tags(needs_public=True)


class PrintsSums(Means):
    """Prints how many records a mechanism has read. Privacy: wrong."""

    mechanism = _Counting

    def finish(self, sums, info):
        print("fitted on", NamesFilesByCount.seen)
        super().finish(sums, info)


class SaysNothing(Means):
    """Does not say what it charges."""


class LooseSettings(Means):
    """Takes unknown settings. Privacy: right."""

    class Config(GeneratorConfig):
        model_config = {"extra": "ignore"}  # noqa: RUF012


FAULTS = faults(
    lambda cls: cls(),
    (RawImageInState, RAW, (READS, RELEASE)),
    (ReadsLabels, READS, (RELEASE,)),
    (ReadsFirst, REFUSES, (READS,)),
    (SwallowsRefusals, REFUSES, ()),
    (KeepsTheHandle, LATE, (RELEASE, TRIP)),
    (
        UnchargedCache,
        FLOW,
        (
            SEEDS,
            CHARGES,
            RELEASE,
            "check_noise_is_what_was_charged",
            REFUSES,
            RESUMES,
            "check_compute_settings_change_no_result",
        ),
    ),
    (OtherNoise, CHARGES, ()),
    (LeavesOutACharge, CHARGES, ()),
    (OverBudget, "check_plan_meets_the_budget", (CHARGES,)),
    (PlansFromData, PUBLIC, ()),
    (PlansFromRanks, "check_plan_ignores_compute_settings", ()),
    (NamesFilesByCount, RELEASE, ()),
    (WritesBeside, FILES, ()),
    (SeedsGlobally, GLOBAL, ()),
    (UnseededWeights, SEEDS, (RELEASE, RESUMES, "check_compute_settings_change_no_result")),
    (UnseededSample, REPEATS, (GLOBAL, SEEDS, TRIP)),
    (CountsItsSamples, REPEATS, (TRIP,)),
    (SortsLabels, ASKED, ()),
    (IgnoresLabels, ASKED, ()),
    (OneClassByDefault, ASKED, ()),
    (AcceptsAnyLabel, "check_refuses_labels_that_do_not_fit", ()),
    (OutOfRange, SHAPES, ()),
    (NotANumber, SHAPES, (ASKED, REPEATS, TRIP)),
    (Bytes, SHAPES, ()),
    (OneImageShort, SHAPES, ()),
    (ForgetsWeights, TRIP, ()),
    (SamplesUnfitted, "check_refuses_to_sample_before_fit", ()),
    (ForgetsToResume, RESUMES, ()),
    (PlansWithoutPublicData, "check_says_when_public_data_is_missing", ()),
    (PrintsSums, LOGS, ()),
    (SaysNothing, STATES, ()),
    (LooseSettings, STATES, ()),
)
