"""The run record: JSON once, and back unchanged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.errors import StorageError
from dpgen.events import (
    AggregatePosterior,
    Composed,
    DiscreteGaussian,
    DpEvent,
    EpsilonDelta,
    Gaussian,
    OnShards,
    PoissonSampled,
    SampledWithoutReplacement,
    SelfComposed,
)
from dpgen.record import (
    DECLARED_RECORDS,
    FLOATING_POINT,
    LARGE_DELTA,
    LARGE_EPSILON,
    RunRecord,
    caveats,
    installed_versions,
)

CHARGE = Charge("query", Gaussian(2.0))
RECORD = RunRecord(
    name="first",
    private=True,
    guarantee=Guarantee(1.0, 1e-5, ADD_OR_REMOVE_ONE, "prv", "bound", ("floating point",)),
    group={"size": 3, "epsilon": 3.0, "delta": 1e-3},
    budget=Budget(1.0, 1e-5, ADD_OR_REMOVE_ONE),
    charges=(CHARGE,),
    plan=Plan((CHARGE,), notes=("cheap",)),
    config={"run": {"count": 3}},
    data={"class_names": ["a"]},
    public_data="glyphs",
    generator="toy",
    cites=("somebody",),
    seeds={"run": 0},
    versions={"python": "3.11"},
    released={"samples.png": "00"},
)


def test_round_trip_through_a_file(tmp_path: Path):
    RECORD.write(tmp_path)
    read = RunRecord.read(tmp_path)
    assert read == RECORD
    assert read.plan.notes == RECORD.plan.notes


def test_the_json_has_what_a_reader_needs():
    data = RECORD.to_json()
    assert {"epsilon_upper", "delta", "relation", "accountant", "kind", "caveats"} == set(data["guarantee"])
    assert data["charges"] == [{"label": "query", "event": {"type": "Gaussian", "noise_multiplier": 2.0}}]
    assert data["guarantee"]["relation"] == "add_or_remove_one"
    assert set(data) == {field.name for field in dataclasses.fields(RunRecord)} | {"format"}


@pytest.mark.parametrize("broken", [b"", b"{", b'{"format": 2}', b"[]"])
def test_a_damaged_record_is_refused(tmp_path: Path, broken: bytes):
    (tmp_path / "run.json").write_bytes(broken)
    with pytest.raises(StorageError):
        RunRecord.read(tmp_path)


def test_a_missing_field_is_named():
    data = json.loads(json.dumps(RECORD.to_json()))
    del data["plan"]
    with pytest.raises(StorageError, match=r"missing.*'plan'"):
        RunRecord.from_json(data)


def test_versions_leave_out_what_is_not_installed():
    assert set(installed_versions("numpy", "no-such-thing")) == {"python", "numpy"}


# --- what must be said beside a guarantee -----------------------------------------------------------------------------
PURE = EpsilonDelta(0.1, 0.0)


def said(event: DpEvent = PURE, *, epsilon: float = 1.0, delta: float = 1e-6) -> set[str]:
    plan, budget = Plan((Charge("query", event),)), Budget(epsilon, delta, ADD_OR_REMOVE_ONE)
    return set(caveats(plan, budget, records=1000, private=True))


def test_of_a_modest_plan_only_the_declared_records_are_said():
    assert said() == {DECLARED_RECORDS}


@pytest.mark.parametrize(("delta", "large"), [(1e-3, False), (1.001e-3, True), (0.1, True)])
def test_a_delta_above_one_over_the_records_is_said(delta: float, large: bool):
    assert (LARGE_DELTA in said(delta=delta)) == large


@pytest.mark.parametrize(("epsilon", "large"), [(20.0, False), (20.001, True), (1e3, True)])
def test_an_epsilon_above_twenty_is_said(epsilon: float, large: bool):
    assert (LARGE_EPSILON in said(epsilon=epsilon)) == large


WRAPPED = {
    "plain": lambda event: event,
    "sampled": lambda event: PoissonSampled(0.1, event),
    "sampled steps": lambda event: SelfComposed(PoissonSampled(0.1, event), 10),
    "fixed samples": lambda event: SampledWithoutReplacement(100, 10, event),
    "on shards": lambda event: OnShards(event),
    "sampled on shards": lambda event: SelfComposed(OnShards(PoissonSampled(0.1, event)), 10),
    "beside exact noise": lambda event: Composed((DiscreteGaussian(5.0, 1), event)),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_gaussian_noise_is_told_wherever_it_is_drawn(wrap: str):
    assert FLOATING_POINT in said(WRAPPED[wrap](Gaussian(2.0)))
    assert FLOATING_POINT not in said(WRAPPED[wrap](DiscreteGaussian(5.0, 1)))


def test_the_noise_of_an_aggregate_posterior_is_gaussian():
    assert FLOATING_POINT in said(AggregatePosterior(100, 10, 0.5))
