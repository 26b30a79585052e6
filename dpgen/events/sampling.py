"""What was released about randomly chosen records."""

from __future__ import annotations

from dataclasses import dataclass

from dpgen import validate
from dpgen.errors import InvalidValue
from dpgen.events.base import DpEvent, require_event


@dataclass(frozen=True, slots=True)
class PoissonSampled(DpEvent):
    """Each record joins independently with `probability` q; `event` then runs on those that joined.

    Several events inside share one sample. The pair is, with N_v the law of what `event` releases when the sum of all
    other records is 0 and this one contributes v:

    - add-or-remove-one: (1 - q) N_0 + q N_1 against N_0, and the same two exchanged. Neither order covers the other.
    - replace-one: (1 - q) N_0 + q N_1 against (1 - q) N_0 + q N_-1, for `Gaussian` and `Laplace`: each of the two
      records is there with probability q, at opposite ends of what one record may contribute. The distance 2 between
      those ends is already the doubling of replace-one.
    - replace-one for `DiscreteGaussian`: any two of the three inputs, without the record, with the one and with the
      other, differ by at most 1 in at most `touched` cells. The profile of `SampledWithoutReplacement` with
      sample / records = q bounds it.

    A loader that shuffles, or that draws batches of a fixed size, is not this event.
    """

    probability: float
    event: DpEvent

    def __post_init__(self) -> None:
        validate.probability(probability=self.probability)
        require_event(self.event)


@dataclass(frozen=True, slots=True)
class SampledWithoutReplacement(DpEvent):
    """A uniformly random subset of exactly `sample` of the `records` records; `event` then runs on that subset.

    `records` is public, so this is priced under replace-one only. Several events inside share one subset. With
    q = sample / records and D(e) the delta of `event` at epsilon e under replace-one (distance 2 of a `Gaussian` or a
    `Laplace`, `touched` cells of a `DiscreteGaussian`), one use is (log(1 + q (e^e - 1)), q D(e))-DP for every
    e >= 0 (Balle, Barthe, Gaboardi 2018, arXiv 1807.01647). That profile, continued symmetrically to negative
    epsilon, is what composes: C_q of Dong, Roth, Su 2022. The mixture pair of `PoissonSampled` does not: it bounds
    one use and is too low for many (Lebeda, Regehr, Kamath, Steinke 2024, arXiv 2405.20769).
    """

    records: int
    sample: int
    event: DpEvent

    def __post_init__(self) -> None:
        validate.count(1, records=self.records)
        validate.count(0, sample=self.sample)
        if self.sample > self.records:
            raise InvalidValue(
                f"sample must be at most records; found sample={self.sample}, records={self.records}. "
                "A subset without replacement cannot be larger than the set."
            )
        require_event(self.event)


@dataclass(frozen=True, slots=True)
class OnShards(DpEvent):
    """Each record lies in one of a public number of disjoint shards; `event` then ran on the shards for its records.

    A record chooses its shard without regard to the others, by a coin of its own say, so that adding, removing or
    replacing it changes what one shard contributes; no shard comes or goes. So whatever the relation of the charge,
    `event` is priced under replace-one, with the distances that it states for it: the shard without the record
    contributes something too, and `PoissonSampled` under add-or-remove-one would compare with nothing. Pair: that of
    `event` under replace-one. Which shard a record lies in need not be secret; what `event` draws must be.
    """

    event: DpEvent

    def __post_init__(self) -> None:
        require_event(self.event)


@dataclass(frozen=True, slots=True)
class AggregatePosterior(DpEvent):
    """`draws` times: one record is chosen uniformly, and a Gaussian around its code is released.

    All codes get noise of the same deviation; `separation` is the largest distance of the codes of any two possible
    records over that deviation (2R / deviation for codes clipped to radius R), already the distance of replace-one and
    never doubled. `records` is the public count, or a proved least count. With n = records and N(m) = N(m, 1):

    - add-or-remove-one: each draw is (1 - q) N(0) + q N(separation) against N(0), both orders, with q = 1 / (n + 1):
      the larger of the two neighbours has at least n + 1 records. Exact, although nothing is Poisson-sampled.
    - replace-one: each draw has the profile of `SampledWithoutReplacement(n, 1, ...)` around a Gaussian whose two means
      lie `separation` deviations apart.

    A set with fewer than `records` records that is filled up to that number with a fixed public code has neighbours one
    replacement apart. `OnShards` of this event covers every data set then, larger ones too: no curve of
    add-or-remove-one exceeds that of replace-one with the same n.

    Every draw counts, also those thrown away later; `draws` must not depend on the records. Decoding the codes is
    post-processing. Why: the law of one draw is the mean of n Gaussians; with one record more it is (1 - q) times that
    mean plus q times the new one, so that joint convexity over the n Gaussians leaves the pair above for each of the
    draws. Under replace-one the n - 1 records that stay are the common part of advanced joint convexity (Balle,
    Barthe, Gaboardi 2018).
    """

    records: int
    draws: int
    separation: float

    def __post_init__(self) -> None:
        validate.count(1, records=self.records)
        validate.count(0, draws=self.draws)
        validate.not_negative(separation=self.separation)
