"""A resumed run whose finished releases are kept in checkpoints asks only for what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.errors import LedgerError, PlanMismatch
from dpgen.events import Gaussian, SelfComposed
from dpgen.ledger import Ledger, read_ledger

BUDGET = Budget(epsilon=2.0, delta=1e-5, relation=ADD_OR_REMOVE_ONE)
QUERY, TUNE, LAST = (
    Charge("query", Gaussian(20.0)),
    Charge("tune", SelfComposed(Gaussian(5.0), 3)),
    Charge("last", Gaussian(30.0)),
)
PLAN = Plan((QUERY, TUNE, LAST))


def opened(path: Path) -> Ledger:
    ledger = Ledger(GdpAccountant(), BUDGET, path=path)
    ledger.adopt(PLAN)
    return ledger


def stopped_after(path: Path, *charges: Charge) -> None:
    with opened(path) as ledger:
        for charge in charges:
            ledger.charge(charge.event, label=charge.label)


def test_a_recorded_charge_may_be_left_out(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY, TUNE)
    with opened(path) as ledger:
        assert ledger.charge(LAST.event, label="last") == 0
        assert ledger.charges == PLAN.charges
    assert read_ledger(path).charges == PLAN.charges


def test_a_recorded_charge_may_be_repeated_after_one_that_was_left_out(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY, TUNE)
    with opened(path) as ledger:
        ledger.charge(TUNE.event, label="tune")
        ledger.charge(LAST.event, label="last")
    assert read_ledger(path).charges == PLAN.charges, "repeating a charge writes no second line"


def test_what_was_charged_whole_is_not_taken_apart(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY, TUNE)
    with opened(path) as ledger, pytest.raises(PlanMismatch):
        ledger.charge(Gaussian(5.0), label="tune")


def test_a_charge_that_was_never_recorded_may_not_be_left_out(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY)
    with opened(path) as ledger, pytest.raises(PlanMismatch, match=r"'query'.*'tune'.*found 'last'"):
        ledger.charge(LAST.event, label="last")


def test_a_first_start_leaves_nothing_out(tmp_path: Path):
    with opened(tmp_path / "ledger.jsonl") as ledger, pytest.raises(PlanMismatch):
        ledger.charge(TUNE.event, label="tune")


def test_what_was_passed_over_cannot_be_asked_for_later(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY, TUNE)
    with opened(path) as ledger:
        ledger.charge(TUNE.event, label="tune")
        with pytest.raises(PlanMismatch):
            ledger.charge(QUERY.event, label="query")


SINGLE = Charge("tune", Gaussian(5.0))


@pytest.mark.parametrize("again", [SINGLE, TUNE], ids=["one more", "the whole"])
def test_counted_releases_are_not_continued(again: Charge, tmp_path: Path):
    """Which of them were kept is not known: the next one could repeat the noise of another question."""
    path = tmp_path / "ledger.jsonl"
    stopped_after(path, QUERY, SINGLE, SINGLE)
    with opened(path) as ledger, pytest.raises(LedgerError, match="made by one process"):
        ledger.charge(again.event, label="tune")
    with opened(path) as ledger:  # where all of them were kept, the run goes on behind them
        ledger.charge(LAST.event, label="last")
    assert read_ledger(path).charges == PLAN.charges
