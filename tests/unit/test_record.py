"""The run record: JSON once, and back unchanged."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.errors import StorageError
from dpgen.events import Gaussian
from dpgen.record import RunRecord, installed_versions

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
