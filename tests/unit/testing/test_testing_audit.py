"""The audit ladder on plans: what it rebuilds, what it cannot, and that a blind control fails it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpgen.accountants import PldAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, REPLACE_ONE, Budget, Charge, NeighboringRelation, Plan
from dpgen.errors import InvalidValue, PrivacyError
from dpgen.events import DiscreteGaussian, EpsilonDelta, Gaussian, PoissonSampled, SelfComposed
from dpgen.testing.audit import Audit, audit_plan, targets_of
from dpgen.testing.audit import stepped as stepped_module
from dpgen.testing.audit.rebuilt import observe
from dpgen.testing.audit.stepped import stepped
from dpgen.testing.toy_release import write_release

BUDGET = Budget(50, 1e-5, ADD_OR_REMOVE_ONE)
PLAN = Plan(
    (
        Charge("counts", DiscreteGaussian(0.8, 2)),
        Charge("sum", Gaussian(0.7)),
        Charge("train", SelfComposed(PoissonSampled(0.5, Gaussian(0.9)), 4)),
    )
)


def audited(plan: Plan, relation: NeighboringRelation, rung: int, seconds: float = 60.0) -> Audit:
    budget = Budget(BUDGET.epsilon, BUDGET.delta, relation)
    return audit_plan(plan, budget, PldAccountant(), rung=rung, seconds=seconds)


@pytest.mark.parametrize("relation", [ADD_OR_REMOVE_ONE, REPLACE_ONE])
def test_every_mechanism_passes_and_every_control_is_caught(relation: NeighboringRelation) -> None:
    found = audited(PLAN, relation, 1)
    assert found.passed, found.failures
    assert {f.subject for f in found.findings if f.control} == {"counts", "sum", "train"}
    assert not [f for f in found.findings if f.outcome == "skipped"]


def test_the_step_rung_bounds_and_its_controls() -> None:
    findings = [f for f in audited(PLAN, ADD_OR_REMOVE_ONE, 2).findings if f.rung == 2]
    assert {(f.subject, f.control, f.outcome) for f in findings} == {
        (label, control, "passed") for label in ("counts", "sum", "train") for control in (False, True)
    }


def test_a_mechanism_with_half_its_noise_fails_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    (target,), _ = targets_of(Plan(PLAN.charges[1:2]), BUDGET, PldAccountant())

    def half(target, *, observations, noise_factor=1.0):
        return observe(target, observations=observations, noise_factor=0.5 * noise_factor)

    monkeypatch.setattr(stepped_module, "observe", half)
    found = Audit(findings=tuple(stepped(target, seconds=60)), not_audited=())
    assert [f.check for f in found.failures] == ["step audit, crafted records"]
    with pytest.raises(PrivacyError, match="sum: step audit"):
        found.require()


def test_a_blind_audit_fails_on_its_control(monkeypatch: pytest.MonkeyPatch) -> None:
    (target,), _ = targets_of(Plan(PLAN.charges[1:2]), BUDGET, PldAccountant())
    blind = lambda target, *, observations, noise_factor=1.0: observe(target, observations=observations)  # noqa: E731
    monkeypatch.setattr(stepped_module, "observe", blind)
    found = Audit(findings=tuple(stepped(target, seconds=60)), not_audited=())
    assert [f.control for f in found.failures] == [True]


def test_what_cannot_be_rebuilt_is_named_and_alone_does_not_pass() -> None:
    found = audited(Plan((Charge("other", EpsilonDelta(1.0, 1e-6)),)), ADD_OR_REMOVE_ONE, 2)
    assert not found.passed
    assert len(found.not_audited) == 1
    assert "other" in found.not_audited[0]


def test_without_time_a_rung_is_skipped_and_says_what_it_needs() -> None:
    findings = audited(Plan(PLAN.charges[1:2]), ADD_OR_REMOVE_ONE, 2, seconds=1e-6).findings
    (skipped,) = [f for f in findings if f.rung == 2]
    assert skipped.outcome == "skipped"
    assert "observations" in skipped.why


def test_rungs_and_seconds_are_checked() -> None:
    for settings in ({"rung": 5}, {"rung": 0, "seconds": 0.0}):
        with pytest.raises(InvalidValue):
            audit_plan(PLAN, BUDGET, PldAccountant(), **settings)


def test_the_command_audits_a_record_and_refuses_a_forged_one(tmp_path: Path) -> None:
    from dpgen.cli.app import app

    path = write_release(tmp_path, PldAccountant(), PLAN, BUDGET)
    done = CliRunner().invoke(app, ["audit", str(path), "--rung", "0", "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["passed"]
    assert {finding["rung"] for finding in told["findings"]} == {0}
    forged = json.loads(path.read_text())
    forged["guarantee"]["epsilon_upper"] /= 2
    path.write_text(json.dumps(forged))
    refused = CliRunner().invoke(app, ["audit", str(path), "--rung", "0"])
    assert isinstance(refused.exception, PrivacyError)
