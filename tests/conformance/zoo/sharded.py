"""Faults of critics on shards: less noise than is charged for, or more looks. Each in one method."""

from __future__ import annotations

import dataclasses

from dpgen.events import OnShards
from dpgen.testing.conformance import TOY_INFO
from dpgen_plugins.gan.examples import sharded_critics
from dpgen_plugins.gan.sharded_critics import ShardedCritics
from zoo.fault import NOISE, faults


class ShardLikeARecord(ShardedCritics):
    """Prices a shard's slopes as if a record added them, where it exchanges them for others. Privacy: wrong."""

    def event(self, relation):
        event = super().event(relation)
        assert isinstance(event, OnShards)
        return event.event


class OneStepMore(ShardedCritics):
    """Takes one step more than it charges, as the published code does. Privacy: wrong."""

    def _measure(self, records, **given):
        return ShardedCritics._measure(dataclasses.replace(self, steps=self.steps + 1), records, **given)


class JoinMoreOften(ShardedCritics):
    """Shards join a step more often than is priced. Privacy: wrong."""

    def _measure(self, records, **given):
        return ShardedCritics._measure(dataclasses.replace(self, sampling_probability=0.75), records, **given)


class HalfTheNoise(ShardedCritics):
    """Slopes with half of the noise that is charged for. Privacy: wrong."""

    def _measure(self, records, **given):
        less = dataclasses.replace(self, noise_multiplier=self.noise_multiplier / 2)
        return ShardedCritics._measure(less, records, **given)


def make(cls: type[ShardedCritics]) -> ShardedCritics:
    honest = sharded_critics(TOY_INFO)
    return cls(**{field.name: getattr(honest, field.name) for field in dataclasses.fields(honest)})


FAULTS = faults(
    make,
    (ShardLikeARecord, NOISE, ()),
    (OneStepMore, NOISE, ()),
    (JoinMoreOften, NOISE, ()),
    (HalfTheNoise, NOISE, ()),
)
