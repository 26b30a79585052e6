"""The page of events names every event with its fields, and its table says what the accountants do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from dpgen import events
from dpgen.accountants import Accountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    Laplace,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)
from dpgen.plugins.registry import default_registry

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
EXAMPLES: dict[str, tuple[DpEvent, ...]] = {
    "`Gaussian`": (Gaussian(2.0),),
    "`DiscreteGaussian`": (DiscreteGaussian(2.0, 2),),
    "`Laplace`": (Laplace(2.0),),
    "`EpsilonDelta`, delta 0": (EpsilonDelta(1.0, 0.0),),
    "`EpsilonDelta`, delta > 0": (EpsilonDelta(1.0, 1e-6),),
    "`PoissonSampled` `Gaussian`": (PoissonSampled(0.1, Gaussian(2.0)),),
    "`PoissonSampled` `DiscreteGaussian`": (PoissonSampled(0.1, DiscreteGaussian(2.0, 2)),),
    "`PoissonSampled` `Laplace`": (PoissonSampled(0.1, Laplace(2.0)),),
    "`PoissonSampled` `EpsilonDelta`, delta 0": (PoissonSampled(0.1, EpsilonDelta(1.0, 0.0)),),
    "`SampledWithoutReplacement` of one of these": tuple(
        SampledWithoutReplacement(10, 2, one)
        for one in (Gaussian(2.0), Laplace(2.0), DiscreteGaussian(2.0, 2), EpsilonDelta(1.0, 0.0))
    ),
    "`OnShards` of a `Gaussian`": (OnShards(Gaussian(2.0)),),
    "`OnShards` of a sampled `Gaussian`": (
        OnShards(PoissonSampled(0.1, Gaussian(2.0))),
        OnShards(SampledWithoutReplacement(10, 1, Gaussian(2.0))),
    ),
    "`AggregatePosterior`": (AggregatePosterior(10, 3, 0.5),),
    "`PoissonSampled` of two different noises": (PoissonSampled(0.1, Composed((Gaussian(2.0), Laplace(2.0)))),),
}
START = next(index for index, row in enumerate(ROWS) if row[:2] == ["event", "pld"])
COLUMNS = ROWS[START][1:]
PRICED = {row[0]: dict(zip(COLUMNS, row[1:], strict=True)) for row in ROWS[START + 2 :]}
MEANING = {"both": {ADD_OR_REMOVE_ONE, REPLACE_ONE}, "add": {ADD_OR_REMOVE_ONE}, "replace": {REPLACE_ONE}, "-": set()}


def test_every_event_is_shown_with_its_fields() -> None:
    for name in set(events.__all__) - {"DpEvent"}:
        fields = ", ".join(field.name for field in dataclasses.fields(getattr(events, name)))
        assert re.search(rf"^\| `{name}\({re.escape(fields)}\)` \|", PAGE, re.MULTILINE), name


def test_every_row_has_an_example() -> None:
    assert PRICED.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_table_says_what_the_accountant_supports(name: str) -> None:
    if name not in default_registry().accountants():
        pytest.skip(f"{name} is not built in yet")
    accountant: Accountant = default_registry().accountant(name)()
    for row, examples in EXAMPLES.items():
        for event in examples:
            for tree in (event, SelfComposed(event, 3)):
                found = {relation for relation in MEANING["both"] if accountant.supports(tree, relation=relation)}
                assert found == MEANING[PRICED[row][name]], (name, row)
