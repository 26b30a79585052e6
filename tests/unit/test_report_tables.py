"""Tables over several runs: what belongs together, what a line says, and text that cannot break the markup."""

from __future__ import annotations

import dataclasses
import json

import pytest

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Guarantee, Plan
from dpgen.events import Gaussian
from dpgen.record import RunRecord
from dpgen.report.tables import Measured, Row, Summary, duration, rendered, rows_of

CHARGE = Charge("finetune", Gaussian(2.0))


def record(seed: int = 0, *, epsilon: float = 0.99991, steps: int = 3, private: bool = True, **evaluation) -> RunRecord:
    return RunRecord(
        name=f"run{seed}",
        private=private,
        guarantee=Guarantee(epsilon, 1e-5, ADD_OR_REMOVE_ONE, "pld", "certified"),
        group=None,
        budget=Budget(1.1, 1e-5, ADD_OR_REMOVE_ONE),
        charges=(CHARGE,),
        plan=Plan((CHARGE,)),
        config={
            "data": {"private": "digits_50%"},
            "method": {"name": "dp_merf", "steps": steps},
            "run": {"name": f"run{seed}", "seed": seed, "count": 3},
            "compute": {"device": f"cuda:{seed}"},
            "evaluation": evaluation,
        },
        data={},
        public_data="glyphs|old",
        generator="dp_merf",
    )


def test_runs_that_differ_in_seed_name_and_device_alone_are_one_line():
    runs = [Measured(record(seed), {"accuracy": value}, 60.0) for seed, value in enumerate((0.8, 0.9, 0.7))]
    (row,) = rows_of([*runs])
    assert row.runs == 3
    assert row.scores["accuracy"].mean == pytest.approx(0.8)
    assert row.scores["accuracy"].deviation == pytest.approx(0.1)  # n - 1
    assert len(rows_of([*runs, Measured(record(3, steps=4))])) == 2
    assert len(rows_of([*runs, Measured(record(3, private=False))])) == 2


def test_the_epsilon_of_a_line_holds_for_every_run_in_it():
    (row,) = rows_of([Measured(record(0, epsilon=0.5)), Measured(record(1, epsilon=0.99991))])
    assert row.epsilon == 0.99991
    assert "| 1 " not in rendered([row], "markdown").replace("|  1 ", "| 1 ").splitlines()[0]
    assert " 1 |" in rendered([row], "markdown").splitlines()[2]  # 0.99991 is never shown as 0.9999


def test_a_single_run_has_no_deviation():
    (row,) = rows_of([Measured(record(), {"accuracy": 0.87654})])
    assert str(row.scores["accuracy"]) == "0.8765"
    assert str(Summary.of([0.8, 0.9])) == "0.85 ± 0.071"


def test_what_choosing_the_settings_cost_is_said():
    assert rows_of([Measured(record())])[0].tuning == "not stated"
    assert rows_of([Measured(record(tuning="public_data"))])[0].tuning == "public data"
    validated = dataclasses.replace(record(), charges=(CHARGE, Charge("validation", Gaussian(9.0))))
    assert "charged validation" in rows_of([Measured(validated)])[0].tuning


def test_a_proof_and_an_estimate_are_told_apart():
    published = Row(
        method="other",
        data="mnist",
        epsilon=1.0,
        delta=None,
        relation="add_or_remove_one",
        accountant="moments",
        kind="approximation",
        source="published",
        caveat="shuffled batches, priced as Poisson samples",
        valid=False,
    )
    text = rendered([*rows_of([Measured(record())]), published], "markdown")
    lines = text.splitlines()
    assert "certified" in lines[2]
    assert "estimate" in lines[3]
    assert "other INVALID (a)" in lines[3]
    assert lines[-1] == "(a) shuffled batches, priced as Poisson samples"


def test_a_run_of_a_test_double_is_invalid_in_every_form():
    rows = rows_of([Measured(record(private=False))])
    for form in ("markdown", "latex"):
        assert "INVALID" in rendered(rows, form)
        assert "not private" in rendered(rows, form)
    assert json.loads(rendered(rows, "json"))[0]["valid"] is False


def test_markup_in_names_is_escaped():
    rows = rows_of([Measured(record(), {"accuracy_of_50%": 0.5})])
    latex, markdown = rendered(rows, "latex"), rendered(rows, "markdown")
    assert r"digits\_50\%" in latex
    assert r"dp\_merf" in latex
    assert r"$\varepsilon$" in latex
    assert r"glyphs\|old" in markdown
    assert len({line.replace(r"\|", "").count("|") for line in markdown.splitlines()}) == 1


def test_columns_may_be_chosen_and_missing_scores_are_empty():
    rows = rows_of([Measured(record(), {"accuracy": 0.5, "recall": 0.25}), Measured(record(steps=9))])
    text = rendered(rows, "markdown", scores=["recall"])
    assert "accuracy" not in text
    assert "0.25" in text
    assert json.loads(rendered(rows, "json"))[1]["scores"] == {}


@pytest.mark.parametrize(("seconds", "shown"), [(41.6, "42 s"), (210.0, "3.5 min"), (7600.0, "2.11 h")])
def test_times_are_said_as_people_say_them(seconds: float, shown: str):
    assert duration(seconds) == shown
