"""All that is known of a run before any image is opened: what it will make, what it will charge, and the price."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dpgen.accountants.base import Accountant
from dpgen.accountants.pricing import PricedCharge, price
from dpgen.budget import Budget, Guarantee, Plan
from dpgen.config import Config, DataConfig, validated
from dpgen.data.info import DatasetInfo, Shape, Unit
from dpgen.data.sources.base import ImageSource
from dpgen.data.sources.limited import split_limit
from dpgen.data.sources.spelling import matching, open_source
from dpgen.errors import ConfigError
from dpgen.generators.base import Generator, PublicInfo, Task
from dpgen.ledger import Ledger
from dpgen.pipeline.leading import Leading, beside, in_front
from dpgen.pipeline.lineage import earlier_release
from dpgen.pipeline.prior import counted_first, with_given_shares
from dpgen.pipeline.scoring import Scoring, scoring
from dpgen.pipeline.storing import require_form
from dpgen.pipeline.validation import planned, validation_charge, validation_source
from dpgen.plugins.registry import Registry

Named = Mapping[str, type[ImageSource]]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is planned, priced and affordable. The sources are named and described, and not yet loaded."""

    config: Config
    generator: Generator
    accountant: Accountant
    budget: Budget
    task: Task
    plan: Plan
    prices: tuple[PricedCharge, ...]
    private: ImageSource
    public: ImageSource | None
    test: ImageSource | None
    validation: ImageSource | None
    """Private images that only a noisy validation reads."""
    leading: tuple[Leading, ...]
    """What stands in the plan before the generator's own charges."""
    scoring: Scoring

    @property
    def fitting(self) -> Plan:
        """What `Generator.fit` charges: the plan but for what leads it, and for a noisy validation after it."""
        last = -1 if self.config.evaluation.selection == "noisy_validation" else None
        return Plan(self.plan.charges[len(self.leading) : last], self.plan.notes)

    @property
    def cumulative(self) -> dict[str, float]:
        """The epsilon up to and with each charge, by label, in the order of the plan."""
        return {line.label: line.cumulative_epsilon for line in self.prices}

    @property
    def group(self) -> tuple[float, float] | None:
        """(epsilon, delta) for all images of one person together; None where the unit is an image."""
        info, budget, name = self.task.info, self.budget, self.accountant.name
        if info.unit is not Unit.PERSON:
            return None
        epsilon = self.prices[-1].cumulative_epsilon if self.prices else 0.0
        one = Guarantee(epsilon, budget.delta, budget.relation, name, self.accountant.kind)
        return one.for_group(info.max_images_per_person)

    def to_json(self) -> dict[str, Any]:
        """The plan and its price as plain JSON data."""
        return {
            "budget": {
                "epsilon": self.budget.epsilon,
                "delta": self.budget.delta,
                "relation": str(self.budget.relation),
            },
            "accountant": self.accountant.name,
            "charges": [
                {
                    "label": line.label,
                    "event": line.event.to_json(),
                    "noise_multiplier": line.noise_multiplier,
                    "epsilon": line.own_epsilon,
                    "cumulative_epsilon": line.cumulative_epsilon,
                    "marginal_epsilon": line.marginal_epsilon,
                }
                for line in self.prices
            ],
            "group": None
            if self.group is None
            else {"size": self.task.info.max_images_per_person, "epsilon": self.group[0], "delta": self.group[1]},
            "notes": list(self.plan.notes),
        }


def prepare(
    config: Config,
    registry: Registry,
    *,
    data_at_hand: bool = True,
    origin: str = "the configuration",
    sources: Named = MappingProxyType({}),
) -> Prepared:
    """Plan and price the run of `config`. Nothing private is opened and nothing is written.

    `data_at_hand` False prices a run where its data is not: then all facts about it must be declared, classes too.
    `origin` names the configuration in errors. `sources` are known by name besides those of `registry`.
    Raises: `ConfigError`, `UnknownName` for settings; `CalibrationError`, `BudgetExceeded` where the budget does not
    suffice; `UnsupportedEvent` where the accountant has no proved price.
    """
    kind = registry.generator(config.method.name)
    settings = validated(kind.Config, config.method.settings, name=origin, under=("method",))
    generator, accountant = kind(settings), registry.accountant(config.privacy.accountant)()
    named = {name: registry.dataset(name) for name in registry.datasets()} | dict(sources)
    declared, absent = config.data.classes, not data_at_hand
    private = open_source(config.data.private, named=named, class_names=declared, may_be_absent=absent)
    public = public_source(config.data, named)
    info = declared_info(config.data, private)
    require_form(config.run.format, info.class_names)
    _require_enough_to_score(config, info)
    public_info = None if public is None else PublicInfo(public.name, info.shape, public.class_names())
    task = with_given_shares(Task(info, public_info, config.run.count), config.labels, generator)
    budget = config.privacy.budget(info.nominal_records)
    earlier = earlier_release(config.data, named, info, accountant, budget)
    counted = counted_first(config.labels, budget, accountant)
    leading = tuple(part for part in (earlier, counted) if part is not None)
    validation = validation_source(config, named, info, data_at_hand=data_at_hand)
    noisy_choice = validation_charge(config.evaluation, budget)
    plan = in_front(planned(generator, task, budget, beside(accountant, leading), noisy_choice), leading)
    with Ledger(accountant, budget) as rehearsal:  # in memory: refuses what the budget does not cover
        rehearsal.adopt(plan)
    return Prepared(
        config=config,
        generator=generator,
        accountant=accountant,
        budget=budget,
        task=task,
        plan=plan,
        prices=price(plan, accountant, budget),
        private=private,
        public=public,
        test=_test(config, named, info) if data_at_hand else None,
        validation=validation,
        leading=leading,
        scoring=scoring(config.evaluation, registry, info.shape, has_public=public is not None),
    )


def declared_info(data: DataConfig, source: ImageSource) -> DatasetInfo:
    """The public facts: what the owner declares, completed by what the source states without reading a record.

    Raises: `ConfigError` for a missing number of records or image size.
    """
    records = data.records if data.records is not None else source.nominal_records()
    if records is None:
        raise ConfigError(
            f"data.records is needed for {source.name} data: the number of private records is itself private, so the "
            "owner declares one that may be known. Found none. Add `records = ...` under [data]."
        )
    return DatasetInfo(
        shape=image_shape(data, source),
        class_names=source.class_names(),
        nominal_records=records,
        unit=Unit(data.unit),
        max_images_per_person=data.max_images_per_person,
    )


def image_shape(data: DataConfig, source: ImageSource) -> Shape:
    """What all images are brought to. Raises: `ConfigError` where neither `data` nor the source states it."""
    native = source.native_shape()
    if native is not None:
        side = data.size
        return Shape(data.channels or native.channels, side or native.height, side or native.width)
    if data.size is None or data.channels is None:
        raise ConfigError(
            f"data.size and data.channels are needed for {source.name} data, because only its images could tell. "
            "Add for instance `size = 32` and `channels = 3` under [data]."
        )
    return Shape(data.channels, data.size, data.size)


def public_source(data: DataConfig, named: Named) -> ImageSource | None:
    """The source of the public images, not yet loaded; None where there are none.

    Raises: `ConfigError` where the same images are declared private: all that is learnt from public ones is free.
    """
    if data.public is None:
        return None
    for key, spelling in (("private", data.private), ("test", data.test), ("validation", data.validation)):
        if spelling is not None and _is_same_place(data.public, spelling, named):
            raise ConfigError(
                f"data.public must be images that anyone may see; found those of data.{key}, {spelling!r}. What is "
                "learnt from public images costs no budget, so private ones would be released. Give another set."
            )
    return open_source(data.public, named=named, options=data.public_options)


def _is_same_place(first: str, second: str, named: Named) -> bool:
    """Do both spell one named source, or one path, or a path within the other? Whatever part of it is taken."""
    one, other = (split_limit(spelling)[0] for spelling in (first, second))
    if one in named or other in named:
        return one == other
    here, there = (_places(place) for place in (one, other))
    return any(a == b or a in b.parents or b in a.parents for a, b in itertools.product(here, there))


def _places(spelling: str) -> list[Path]:
    """Where what is spelt lies, links followed; a place where nothing is yet counts, too."""
    path = Path(spelling).expanduser()
    return [found.resolve() for found in matching(path) or [path]]


def _require_enough_to_score(config: Config, info: DatasetInfo) -> None:
    """Refuse, before anything is charged, a run whose scores would fail at its end.

    The classifier trains on one image of each class at least and is chosen by another one.
    """
    classes = len(info.class_names)
    if config.data.test is None or not config.evaluation.enabled or config.run.count >= 2 * classes:
        return
    raise ConfigError(
        f"run.count: scores need two synthetic images of each class, {2 * classes} for {classes} classes; "
        f"found {config.run.count}. Raise it, or set evaluation.enabled = false."
    )


def _test(config: Config, named: Named, info: DatasetInfo) -> ImageSource | None:
    if config.data.test is None or not config.evaluation.enabled:
        return None
    declared = None if config.data.test in named else info.class_names
    return open_source(config.data.test, named=named, class_names=declared)
