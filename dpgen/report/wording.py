"""Guarantees and events in plain words and safe digits: one wording for the page, the data card and the tables."""

from __future__ import annotations

from dpgen.accountants.decimals import rounded_up
from dpgen.budget import BoundKind, NeighboringRelation
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    NonPrivate,
    NoOp,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)
from dpgen.record import RunRecord

RELATIONS = {
    NeighboringRelation.ADD_OR_REMOVE_ONE: "adding or removing any one image",
    NeighboringRelation.REPLACE_ONE: "replacing any one image by another",
}

WORTH: dict[BoundKind, str] = {
    "certified": "certified: a proof that counts its own rounding errors",
    "bound": "a bound: proved in exact arithmetic",
    "approximation": "an estimate that proves nothing",
}
"""What the kind of a number says about it."""


def promise(record: RunRecord) -> str:
    """The guarantee as one sentence."""
    guarantee = record.guarantee
    return (
        f"Whatever anyone learns from this release, {RELATIONS[guarantee.relation]} of the private set would have "
        "changed its probability by at most a factor e^ε, except for a failure probability δ. Proved by the "
        f"{guarantee.accountant} accountant ({guarantee.kind}), for the relation {guarantee.relation}."
    )


def upper_bound(value: float) -> str:
    """A bound in four significant digits, rounded up: what is shown still holds. 9.99997 is "10", 1.00001 "1.001"."""
    return rounded_up(value, 4) if value > 0 else f"{value:g}"


def percent_up(share: float) -> str:
    """An upper bound on a share in [0, 1] as percent, in three digits, rounded up.

    Twelve digits are looked at: the allowance for rounding in a curve would turn 1 % into 1.01 %.
    """
    return f"{rounded_up(round(100 * min(share, 1.0), 12), 3)} %"


def number(value: float) -> str:
    """A fact, not a bound: four significant digits."""
    return f"{value:.4g}"


def event_in_words(event: DpEvent) -> str:
    """What an event asked of the private images, for somebody who does not know the notation."""
    match event:
        case SelfComposed(event=inner, count=count):
            return f"{count} times, each with fresh noise: {_inside(inner)}"
        case Composed(events=events):
            return "; then ".join(event_in_words(inner) for inner in events) or "nothing"
        case PoissonSampled(probability=probability, event=inner):
            return f"each image joins by its own secret coin ({number(100 * probability)} %); of those {_inside(inner)}"
        case SampledWithoutReplacement(records=records, sample=sample, event=inner):
            return f"a secret random subset of exactly {sample} of {records} images is drawn; of those {_inside(inner)}"
        case _:
            return _leaf_in_words(event)


def _inside(event: DpEvent) -> str:
    return f"({event_in_words(event)})" if isinstance(event, Composed) else event_in_words(event)


def _leaf_in_words(event: DpEvent) -> str:
    match event:
        case Gaussian(noise_multiplier=multiplier):
            return f"a sum with Gaussian noise, {number(multiplier)} times as large as what one image can add"
        case DiscreteGaussian(scale=scale, touched=touched):
            return (
                f"counts with whole-number Gaussian noise of deviation {number(scale)}; "
                f"one image moves at most {touched} of them, by one each"
            )
        case Laplace(noise_multiplier=multiplier):
            return f"a sum with Laplace noise, {number(multiplier)} times as large as what one image can add"
        case AggregatePosterior(records=records, draws=draws, separation=separation):
            return (
                f"{draws} times, one of {records} images is drawn and its code released with Gaussian noise; "
                f"codes lie at most {number(separation)} deviations of the noise apart"
            )
        case EpsilonDelta(epsilon=epsilon, delta=delta):
            return f"something proved elsewhere to be ({number(epsilon)}, {number(delta)})-differentially private"
        case NoOp():
            return "nothing"
        case NonPrivate():
            return "images as they are, without protection"
        case _:
            return str(event)
