"""Guarantees and events in plain words and safe digits: one wording for the page, the data card and the tables."""

from __future__ import annotations

import math

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
    OnShards,
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

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def promise(record: RunRecord) -> str:
    """The guarantee as three sentences."""
    guarantee = record.guarantee
    change = RELATIONS[guarantee.relation]
    return (
        f"{change[0].upper()}{change[1:]} of the private set changes the probability of whatever anyone can learn from "
        f"this release by at most a factor e^ε{_factor(guarantee.epsilon_upper)}, except with a failure probability δ. "
        f"Here ε is at most {upper_bound(guarantee.epsilon_upper)} and δ is {upper_bound(guarantee.delta)}, for the "
        f"relation {str(guarantee.relation).replace('_', '-')}. The {guarantee.accountant} accountant proved it "
        f"({WORTH[guarantee.kind]})."
    )


def _factor(epsilon: float) -> str:
    """e^epsilon, where it is a number that says anything."""
    return f" (here {float(rounded_up(math.exp(epsilon), 3)):,.4g})" if epsilon < 5 else ""


def upper_bound(value: float) -> str:
    """A bound in four significant digits, rounded up: what is shown still holds. 9.99997 is "10", 1.00001 "1.001"."""
    return rounded_up(value, 4) if value > 0 else f"{value:g}"


def powers(text: str) -> str:
    """A number as text with its power of ten as people write it: "9.572e-05" becomes "9.572 × 10⁻⁵"."""
    digits, _, exponent = text.partition("e")
    if not exponent.lstrip("+-").isdecimal():
        return text
    return f"{digits}\u202f×\u202f10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


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
        case OnShards(event=inner):
            return (
                f"the images are dealt into separate shards by secret coins; of the shard of an image, {_inside(inner)}"
            )
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
