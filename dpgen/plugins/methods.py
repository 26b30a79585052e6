"""What each generator would do to private data: its charges under each relation, found by planning a small example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, NeighboringRelation, Plan
from dpgen.data.info import DatasetInfo, Shape
from dpgen.errors import DpgenError
from dpgen.events import DpEvent
from dpgen.generators.base import Generator, PublicInfo, Task
from dpgen.plugins.registry import Registry

_INFO = DatasetInfo(Shape(1, 8, 8), ("first", "second", "third"), nominal_records=60)
_TASK = Task(_INFO, PublicInfo("public", _INFO.shape, ("a", "b", "c", "d")), count=30)


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """One generator: the charges of its plan as "label: event", relations it can be planned under, references."""

    name: str
    charges: tuple[str, ...]
    relations: tuple[str, ...]
    needs_public: bool
    cites: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON data."""
        return asdict(self)


def method_facts(registry: Registry) -> Iterator[MethodFacts]:
    """Facts of every registered generator, in the order of their names; nothing private is opened.

    Found by planning the plugin's own conformance example at epsilon 10, else the class with its defaults.
    """
    examples = {type(example): example for example in registry.conformance_examples(_INFO)}
    for name in registry.generators():
        cls = registry.generator(name)
        example = examples.get(cls)
        yield _facts(example if isinstance(example, Generator) else cls())


def _facts(generator: Generator) -> MethodFacts:
    plans = {relation: _plan(generator, relation) for relation in (ADD_OR_REMOVE_ONE, REPLACE_ONE)}
    planned = {relation: plan for relation, plan in plans.items() if plan is not None}
    first = next(iter(planned.values()), None)
    charges = () if first is None else tuple(f"{charge.label}: {spoken(charge.event)}" for charge in first.charges)
    return MethodFacts(
        generator.name, charges, tuple(map(str, planned)), generator.tags.needs_public, tuple(generator.cites)
    )


def _plan(generator: Generator, relation: NeighboringRelation) -> Plan | None:
    try:
        return generator.plan(_TASK, Budget(10.0, 1e-5, relation), PldAccountant())
    except DpgenError:  # what is not proved under this relation is refused
        return None


def spoken(event: DpEvent) -> str:
    """The kinds of an event from the outside in, without its numbers: `PoissonSampled Gaussian`."""
    inner: list[DpEvent] = []
    for field in fields(event):  # type: ignore[arg-type]
        value = getattr(event, field.name)
        inner += [value] if isinstance(value, DpEvent) else _parts(value)
    below = " + ".join(dict.fromkeys(map(spoken, inner)))
    name = type(event).__name__
    if name in ("SelfComposed", "Composed"):  # how often is a number, and what beside what is the plan's own list
        return below
    return f"{name} {below}".rstrip()


def _parts(value: object) -> list[DpEvent]:
    return [part for part in value if isinstance(part, DpEvent)] if isinstance(value, tuple) else []
