"""Laws of the ledger under any schedule of charging, crashing, cutting the file and resuming.

What is spent never falls and never passes the budget; whatever was released is charged, exactly once.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dpgen import storage
from dpgen.accountants.gdp import GdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Charge, Plan
from dpgen.errors import BudgetExceeded, CapExceeded, PlanMismatch, StorageError
from dpgen.events import Gaussian, SelfComposed
from dpgen.ledger import Ledger, OwnerLedger, read_ledger

BUDGET = Budget(epsilon=1.5, delta=1e-5, relation=ADD_OR_REMOVE_ONE)
NOISE = st.sampled_from([3.0, 6.0, 12.0, 50.0])
OPERATIONS = ["write", "fsync"]


class Killed(BaseException):
    """The process ends here."""


def stop(operation: str, error: BaseException):
    def hook(found: str, path: Path) -> None:
        if found == operation:
            raise error

    return storage.failing(hook)


class FilterMachine(RuleBasedStateMachine):
    """An adaptive ledger in a file; `released` is what an honest run read and gave away."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "ledger.jsonl"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", lambda descriptor: None)
        self.ledger = Ledger(GdpAccountant(), BUDGET, path=self.path)
        self.released: list[Charge] = []
        self.number, self.highest = 0, 0.0

    def teardown(self) -> None:
        self.ledger.close()
        self.patch.undo()
        shutil.rmtree(self.folder)

    def next_charge(self, noise: float) -> Charge:
        self.number += 1
        return Charge(f"charge {self.number}", Gaussian(noise))

    def reopen(self) -> None:
        """Resume: the run makes its charges again, in order, before it makes new ones."""
        self.ledger.close()
        self.ledger = Ledger(GdpAccountant(), BUDGET, path=self.path)
        for charge in self.ledger.charges:
            assert self.ledger.charge(charge.event, label=charge.label) == 0
            if charge not in self.released:
                self.released.append(charge)  # charged just before the crash: now it is released

    @rule(noise=NOISE)
    def charge(self, noise: float) -> None:
        charge, before = self.next_charge(noise), self.path.read_bytes()
        try:
            self.ledger.charge(charge.event, label=charge.label)
        except BudgetExceeded:
            assert self.path.read_bytes() == before
        else:
            self.released.append(charge)

    @rule(noise=NOISE, operation=st.sampled_from(OPERATIONS))
    def crash_while_charging(self, noise: float, operation: str) -> None:
        charge = self.next_charge(noise)
        try:
            with stop(operation, Killed()):
                self.ledger.charge(charge.event, label=charge.label)
        except (Killed, BudgetExceeded):
            self.reopen()

    @rule(noise=NOISE, operation=st.sampled_from(OPERATIONS))
    def disk_full_while_charging(self, noise: float, operation: str) -> None:
        charge, before = self.next_charge(noise), self.path.read_bytes()
        try:
            with stop(operation, OSError(errno.ENOSPC, "no space left")):
                self.ledger.charge(charge.event, label=charge.label)
        except (StorageError, BudgetExceeded):
            assert self.path.read_bytes() == before
            self.reopen()

    @rule(noise=NOISE, share=st.floats(0, 0.999))
    def power_cut_tears_the_line_under_way(self, noise: float, share: float) -> None:
        charge, size = self.next_charge(noise), self.path.stat().st_size
        try:
            with stop("fsync", Killed()):
                self.ledger.charge(charge.event, label=charge.label)
        except Killed:
            written = self.path.stat().st_size - size
            with open(self.path, "r+b") as file:
                file.truncate(size + int(written * share))
        except BudgetExceeded:
            pass
        self.reopen()

    @precondition(lambda self: self.released)
    @rule()
    def resume(self) -> None:
        self.reopen()

    @invariant()
    def spent_is_monotone_and_within_the_budget(self) -> None:
        spent = self.ledger.spent().upper
        assert self.highest <= spent <= BUDGET.epsilon
        self.highest = spent

    @invariant()
    def released_is_charged_once(self) -> None:
        assert list(self.ledger.charges) == self.released
        assert list(read_ledger(self.path).charges) == self.released


FilterMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
test_filter = FilterMachine.TestCase


@given(st.lists(st.tuples(NOISE, st.integers(0, 3)), max_size=5), st.data())
def test_a_plan_pays_for_everything_that_it_lets_through(parts, data):
    """Ask for anything at any time: what gets through costs at most the plan, and each noise address comes once."""
    plan = Plan(
        tuple(
            Charge(f"c{i}", Gaussian(noise) if count == 0 else SelfComposed(Gaussian(noise), count))
            for i, (noise, count) in enumerate(parts)
        )
    )
    ledger = Ledger(GdpAccountant(), Budget(100.0, 1e-5, ADD_OR_REMOVE_ONE))
    ledger.adopt(plan)
    asked = [
        *plan.charges,
        *(Charge(c.label, c.event.event) for c in plan.charges if isinstance(c.event, SelfComposed)),
    ]
    through: list[Charge] = []
    addresses: list[tuple[str, int]] = []
    for charge in data.draw(st.lists(st.sampled_from(asked or [Charge("x", Gaussian(1.0))]), max_size=20)):
        try:
            addresses.append((charge.label, ledger.charge(charge.event, label=charge.label)))
            through.append(charge)
        except PlanMismatch:
            pass
    released = Ledger(GdpAccountant(), Budget(1e6, 1e-5, ADD_OR_REMOVE_ONE))
    for number, charge in enumerate(through):
        released.charge(charge.event, label=str(number))
    assert len(set(addresses)) == len(addresses)
    assert released.spent().lower <= ledger.spent().upper
    assert ledger.spent().lower <= ledger.guarantee().epsilon_upper


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.3, 0.7])), max_size=12))
def test_the_owner_s_total_is_the_exact_sum_of_distinct_runs(reservations):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        ledger = OwnerLedger.create(Path(folder) / "owner", Budget(1.0, 0.5, ADD_OR_REMOVE_ONE))
        costs: dict[str, Fraction] = {}
        for number, epsilon in reservations:
            run, exact = f"run {number} at {epsilon}", Fraction(str(epsilon))
            try:
                ledger.reserve(run, epsilon, 1e-6, ADD_OR_REMOVE_ONE)
                costs[run] = exact
            except CapExceeded:
                assert sum(costs.values()) + exact > 1
            assert sum(costs.values()) <= 1
            assert Fraction(str(ledger.total().epsilon)) == sum(costs.values())
