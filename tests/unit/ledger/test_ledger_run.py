"""The ledger of one run: it refuses first, writes before anything is read, and resumes without charging twice."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dpgen.accountants.base import Accountant, Bound
from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, Plan
from dpgen.errors import BudgetExceeded, LedgerError, PlanMismatch, PrivacyError, UnsupportedEvent
from dpgen.events import Composed, DiscreteGaussian, Gaussian, NonPrivate, NoOp, SelfComposed
from dpgen.ledger import Ledger, read_ledger

BUDGET = Budget(epsilon=2.0, delta=1e-5, relation=ADD_OR_REMOVE_ONE)
QUERY, TUNE = Charge("query", Gaussian(20.0)), Charge("finetune", SelfComposed(Gaussian(5.0), 3))
LAST = Charge("last", Gaussian(30.0))
PLAN = Plan((QUERY, TUNE, LAST))


class Stiff(Accountant):
    """Like gdp, but for plans only; `claimed` overrides the kind of its bounds."""

    name, kind = "stiff", "bound"
    claimed: str | None = None

    @property
    def adaptive(self) -> bool:
        return False

    def supports(self, event, *, relation) -> bool:
        return GdpAccountant().supports(event, relation=relation)

    def epsilon(self, event, *, delta, relation) -> Bound:
        bound = GdpAccountant().epsilon(event, delta=delta, relation=relation)
        return dataclasses.replace(bound, kind=self.claimed or bound.kind)

    def delta(self, event, *, epsilon, relation) -> Bound:
        return GdpAccountant().delta(event, epsilon=epsilon, relation=relation)


class Guessing(Stiff):
    name, kind = "guessing", "approximation"


class Broken(Stiff):
    """Its upper bound is no number; a comparison the wrong way round would let everything pass."""

    def epsilon(self, event, *, delta, relation) -> Bound:
        return Bound(0.0, 0.0, float("nan"), "bound")


def ledger(path: Path | None = None, accountant: Accountant | None = None, budget: Budget = BUDGET) -> Ledger:
    return Ledger(accountant or GdpAccountant(), budget, path=path)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def price(*charges: Charge) -> Bound:
    event = Composed(tuple(charge.event for charge in charges))
    return GdpAccountant().epsilon(event, delta=1e-5, relation=ADD_OR_REMOVE_ONE)


class TestPlanned:
    def test_the_plan_in_order(self):
        book = ledger()
        book.adopt(PLAN)
        assert book.plan == PLAN
        assert book.charge(QUERY.event, label="query") == 0
        assert book.charge(TUNE.event, label="finetune") == 0
        assert book.charge(LAST.event, label="last") == 0
        assert book.charges == PLAN.charges
        assert book.spent() == price(*PLAN.charges)

    def test_counted_down_it_is_spent_whole_at_once(self):
        book = ledger()
        book.adopt(PLAN)
        book.charge(QUERY.event, label="query")
        for occurrence in range(3):
            assert book.charge(Gaussian(5.0), label="finetune") == occurrence
            assert book.spent() == price(QUERY, TUNE)
        with pytest.raises(PlanMismatch, match=r"'last'.*found 'finetune'"):
            book.charge(Gaussian(5.0), label="finetune")
        assert book.charge(LAST.event, label="last") == 0

    def test_a_count_down_may_end_early(self):
        book = ledger()
        book.adopt(PLAN)
        book.charge(QUERY.event, label="query")
        book.charge(Gaussian(5.0), label="finetune")
        with pytest.raises(PlanMismatch):  # not whole on top of a part
            book.charge(TUNE.event, label="finetune")
        assert book.charge(LAST.event, label="last") == 0
        with pytest.raises(PlanMismatch, match="no further charge"):
            book.charge(Gaussian(5.0), label="finetune")

    def test_one_planned_release_of_a_self_composition_of_one(self):
        book = ledger()
        book.adopt(Plan((Charge("a", SelfComposed(Gaussian(5.0), 1)),)))
        assert book.charge(Gaussian(5.0), label="a") == 0
        with pytest.raises(PlanMismatch):
            book.charge(Gaussian(5.0), label="a")

    @pytest.mark.parametrize(
        ("event", "label"),
        [
            (TUNE.event, "finetune"),  # skips the query
            (QUERY.event, "other"),
            (Gaussian(19.9), "query"),
            (Gaussian(20.1), "query"),  # even cheaper: the plan is what was priced
            (NoOp(), "query"),
        ],
    )
    def test_anything_else_is_refused(self, event, label):
        book = ledger()
        book.adopt(PLAN)
        with pytest.raises(PlanMismatch) as caught:
            book.charge(event, label=label)
        assert "'query'" in caught.value.expected
        assert book.charges == ()
        assert book.charge(QUERY.event, label="query") == 0

    def test_over_the_budget_names_the_first_charge_that_passes_it(self):
        budget = dataclasses.replace(BUDGET, epsilon=price(QUERY, TUNE).upper * 0.999)
        book = ledger(budget=budget)
        with pytest.raises(BudgetExceeded, match="Nothing was read") as caught:
            book.adopt(PLAN)
        assert caught.value.label == "finetune"
        assert caught.value.requested == price(QUERY, TUNE).upper
        assert caught.value.spent == price(QUERY).upper
        assert book.plan is None

    def test_the_upper_bound_decides(self):
        exact = price(*PLAN.charges)
        assert exact.lower < exact.upper
        ledger(budget=dataclasses.replace(BUDGET, epsilon=exact.upper)).adopt(PLAN)
        with pytest.raises(BudgetExceeded) as caught:
            ledger(budget=dataclasses.replace(BUDGET, epsilon=exact.estimate)).adopt(PLAN)
        assert caught.value.label == "last"

    def test_a_price_that_is_no_number_is_over_the_budget(self):
        with pytest.raises(BudgetExceeded):
            ledger(accountant=Broken()).adopt(PLAN)

    @pytest.mark.parametrize("event", [DiscreteGaussian(5.0, 1), SelfComposed(DiscreteGaussian(5.0, 1), 2)])
    def test_no_proved_price_no_plan(self, event):
        with pytest.raises(UnsupportedEvent):
            ledger().adopt(Plan((QUERY, Charge("votes", event))))

    def test_non_private_is_over_any_budget(self):
        with pytest.raises(BudgetExceeded):
            ledger().adopt(Plan((Charge("raw", NonPrivate()),)))

    def test_the_guarantee_is_that_of_the_plan_even_where_a_charge_went_unused(self):
        book = ledger()
        book.adopt(PLAN)
        book.charge(QUERY.event, label="query")
        guarantee = book.guarantee(caveats=["floating-point noise"])
        assert guarantee.epsilon_upper == price(*PLAN.charges).upper > book.spent().upper
        assert (guarantee.accountant, guarantee.kind, guarantee.delta) == ("gdp", "bound", 1e-5)
        assert guarantee.caveats == ("floating-point noise",)

    def test_one_plan_before_the_first_charge(self):
        book = ledger()
        book.adopt(PLAN)
        with pytest.raises(LedgerError, match="one plan"):
            book.adopt(PLAN)
        other = ledger()
        other.charge(QUERY.event, label="query")
        with pytest.raises(LedgerError, match="before the first charge"):
            other.adopt(PLAN)


class TestUnplanned:
    def test_a_filter_stops_at_the_budget(self):
        book = ledger()
        charged = 0
        while price(*book.charges, Charge("one more", Gaussian(5.0))).upper <= 2.0:
            book.charge(Gaussian(5.0), label=f"round {charged}")
            charged += 1
        with pytest.raises(BudgetExceeded) as caught:
            book.charge(Gaussian(5.0), label=f"round {charged}")
        assert 0 < charged == len(book.charges)
        assert book.spent().upper <= 2.0 < caught.value.requested
        assert (caught.value.label, caught.value.spent) == (f"round {charged}", book.spent().upper)
        assert book.guarantee().epsilon_upper == book.spent().upper

    def test_a_label_twice_would_share_its_noise(self):
        book = ledger()
        book.charge(Gaussian(50.0), label="a")
        for scale in (50.0, 60.0):  # another event under the label would share the noise too
            with pytest.raises(PrivacyError, match="own label"):
                book.charge(Gaussian(scale), label="a")
        assert len(book.charges) == 1

    def test_a_non_adaptive_accountant_needs_a_plan(self):
        book = ledger(accountant=Stiff())
        with pytest.raises(PlanMismatch, match="'stiff' cannot price"):
            book.charge(QUERY.event, label="query")
        book.adopt(PLAN)
        assert book.charge(QUERY.event, label="query") == 0

    def test_unsupported(self):
        with pytest.raises(UnsupportedEvent):
            ledger().charge(DiscreteGaussian(5.0, 1), label="votes")


def test_an_approximation_enforces_nothing():
    with pytest.raises(PrivacyError, match="only approximates"):
        ledger(accountant=Guessing())
    liar = Stiff()
    liar.claimed = "approximation"
    with pytest.raises(PrivacyError, match="only approximates"):
        ledger(accountant=liar).adopt(PLAN)


def test_nothing_spent_costs_nothing():
    assert ledger().spent().upper == 0
    assert ledger().relation is ADD_OR_REMOVE_ONE
    assert ledger().budget == BUDGET


class TestFile:
    def test_what_is_written(self, tmp_path):
        path = tmp_path / "release" / "ledger.jsonl"
        with ledger(path) as book:
            assert [line["type"] for line in lines(path)] == ["header"]
            book.adopt(PLAN)
            assert [line["type"] for line in lines(path)] == ["header", "adopted"]
            book.charge(QUERY.event, label="query")
            book.charge(Gaussian(5.0), label="finetune")
            book.charge(Gaussian(5.0), label="finetune")
        written = lines(path)
        assert [line["type"] for line in written] == ["header", "adopted", "charge", "charge"]
        assert written[3]["event"] == TUNE.event.to_json()
        assert set(written[0]) == {"previous", "type", "format", "relation", "epsilon", "delta", "accountant"}
        assert [p.name for p in path.parent.iterdir()] == ["ledger.jsonl"]

    def test_read_back(self, tmp_path):
        path = tmp_path / "ledger.jsonl"
        with ledger(path) as book:
            book.adopt(PLAN)
            book.charge(QUERY.event, label="query")
        history = read_ledger(path)
        assert (history.header.budget, history.header.accountant) == (BUDGET, "gdp")
        assert (history.plan, history.charges) == (PLAN, (QUERY,))

    def test_equal_runs_write_equal_files(self, tmp_path):
        for name in ("a", "b"):
            with ledger(tmp_path / name) as book:
                book.adopt(PLAN)
                book.charge(QUERY.event, label="query")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_resumed_it_is_never_charged_twice(self, tmp_path):
        path = tmp_path / "ledger.jsonl"
        with ledger(path) as book:
            book.adopt(PLAN)
            book.charge(QUERY.event, label="query")
            book.charge(TUNE.event, label="finetune")
            before = path.read_bytes()
        with ledger(path) as book:
            assert book.charges == (QUERY, TUNE)
            assert book.spent() == price(QUERY, TUNE)
            book.adopt(PLAN)
            assert book.charge(QUERY.event, label="query") == 0
            assert book.charge(TUNE.event, label="finetune") == 0
            assert path.read_bytes() == before
            book.charge(LAST.event, label="last")
        assert read_ledger(path).charges == PLAN.charges

    def test_resumed_with_another_plan(self, tmp_path):
        path = tmp_path / "ledger.jsonl"
        with ledger(path) as book:
            book.adopt(PLAN)
        with ledger(path) as book, pytest.raises(LedgerError, match="another one"):
            book.adopt(Plan((QUERY,)))

    def test_resumed_without_its_plan(self, tmp_path):
        path = tmp_path / "ledger.jsonl"
        with ledger(path) as book:
            book.adopt(PLAN)
        with ledger(path) as book, pytest.raises(PlanMismatch, match="plan adopted before"):
            book.charge(QUERY.event, label="query")

    def test_resumed_without_a_plan_the_recorded_charges_come_first(self, tmp_path):
        path = tmp_path / "ledger.jsonl"
        with ledger(path) as book:
            book.charge(Gaussian(9.0), label="a")
            book.charge(Gaussian(8.0), label="b")
        with ledger(path) as book:
            with pytest.raises(LedgerError, match="charge 'a' again; found 'b'"):
                book.charge(Gaussian(8.0), label="b")
            book.charge(Gaussian(9.0), label="a")
            with pytest.raises(LedgerError):
                book.charge(Gaussian(8.5), label="b")
            book.charge(Gaussian(8.0), label="b")
            book.charge(Gaussian(7.0), label="c")
        assert [charge.label for charge in read_ledger(path).charges] == ["a", "b", "c"]
        with ledger(path) as book, pytest.raises(LedgerError):
            book.adopt(PLAN)

    @pytest.mark.parametrize(
        "other",
        [
            dataclasses.replace(BUDGET, epsilon=2.1),
            dataclasses.replace(BUDGET, delta=1e-6),
            dataclasses.replace(BUDGET, relation=REPLACE_ONE),
        ],
    )
    def test_another_budget_is_refused(self, tmp_path, other):
        with ledger(tmp_path / "l"):
            pass
        with pytest.raises(LedgerError, match="kept for"):
            ledger(tmp_path / "l", budget=other)
        with pytest.raises(LedgerError, match="'stiff'"):
            ledger(tmp_path / "l", accountant=Stiff())
        with ledger(tmp_path / "l"):  # and the refusals let go of the lock
            pass

    def test_two_runs_cannot_share_it(self, tmp_path):
        with ledger(tmp_path / "l"), pytest.raises(LedgerError, match=r"in use by process \d+.*Wait"):
            ledger(tmp_path / "l")

    def test_closed_it_charges_nothing_but_still_tells(self, tmp_path):
        with ledger(tmp_path / "l") as book:
            book.charge(QUERY.event, label="query")
        with pytest.raises(LedgerError, match="closed"):
            book.charge(LAST.event, label="last")
        assert book.charges == (QUERY,)
        assert book.guarantee().epsilon_upper == price(QUERY).upper

    def test_it_stays_in_its_process(self, tmp_path, monkeypatch):
        with ledger(tmp_path / "l") as book:
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(book)
            monkeypatch.setattr("os.getpid", lambda: -1)  # as a forked child sees it
            with pytest.raises(LedgerError, match="forked"):
                book.charge(QUERY.event, label="query")
            monkeypatch.undo()


def test_no_deep_learning_library_is_loaded():
    code = "import sys, dpgen.ledger; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
