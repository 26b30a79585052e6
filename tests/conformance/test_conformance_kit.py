"""The kit itself: strict expectations, messages, levels, packages, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import dpgen
from dpgen.accountants import GdpAccountant
from dpgen.cli.app import app
from dpgen.errors import InvalidValue, PluginError
from dpgen.evaluation.base import Metric
from dpgen.evaluation.metrics import Accuracy
from dpgen.testing.conformance import (
    CheckFailed,
    Finding,
    Level,
    Outcome,
    check_package,
    checks_for,
    examine,
    parametrize_with_checks,
)
from dpgen.testing.conformance.assurance import Review, least, level_of, source_digest

BLUR = Path(__file__).parents[1] / "third_party" / "dpgen_blur"


class Shouting(Metric):
    """A metric that prints."""

    name = "shouting"

    def measure(self, evidence: Any) -> Any:
        print("score!")
        return Accuracy().measure(evidence)


def outcomes(findings: tuple[Finding, ...]) -> dict[str, Outcome]:
    return {finding.check: finding.outcome for finding in findings}


def test_a_failure_says_the_rule_what_was_found_and_the_mend() -> None:
    (failure,) = (finding for finding in examine(Shouting()) if finding.outcome is Outcome.FAILED)
    assert failure.check == "check_metric_leaves_no_trace"
    assert failure.message == (
        "a metric must leave nothing but its scores; found the line 'score!'. Return what is worth saying in "
        "`Score.details`: scores of private data stay with the owner."
    )


def test_an_expected_failure_is_no_failure_and_no_pass() -> None:
    found = outcomes(examine(Shouting(), expected_failures={"check_metric_leaves_no_trace": "it likes to"}))
    assert found["check_metric_leaves_no_trace"] is Outcome.EXPECTED_FAILURE
    assert set(found.values()) == {Outcome.PASSED, Outcome.EXPECTED_FAILURE}


def test_an_expected_failure_that_passes_fails() -> None:
    found = examine(Accuracy(), expected_failures={"check_metric_leaves_no_trace": "it used to print"})
    assert outcomes(found)["check_metric_leaves_no_trace"] is Outcome.FAILED
    assert any("it used to print" in finding.message for finding in found)


def test_an_expected_failure_must_be_a_check() -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'check_metric_leaves_no_trace'"):
        examine(Accuracy(), expected_failures={"check_metric_leaves_no_traces": ""})
    with pytest.raises(InvalidValue, match="must name a check that is run"):
        parametrize_with_checks([Accuracy()], expected_failures={"check_x": ""})


def test_expected_failures_are_strict_under_pytest() -> None:
    @parametrize_with_checks(
        [Shouting(), Accuracy()], expected_failures={"check_metric_leaves_no_trace": "it likes to"}
    )
    def test(check: Any) -> None:
        check()

    marks = [mark for case in test.pytestmark[0].args[1] for mark in case.marks]  # type: ignore[attr-defined]
    assert [mark.kwargs for mark in marks] == 2 * [{"reason": "it likes to", "strict": True, "raises": CheckFailed}]


@pytest.mark.parametrize("subject", [Accuracy, object(), None], ids=["class", "object", "nothing"])
def test_what_is_none_of_the_kinds_is_refused(subject: object) -> None:
    with pytest.raises(InvalidValue, match="the kit checks generators, mechanisms, accountants and metrics"):
        checks_for(subject)


def test_checks_are_chosen_by_tags() -> None:
    class Unconditional(dpgen.Generator):
        tags = dpgen.Tags(conditional=False, resumable=False)
        plan = fit = sample = state_dict = load_state_dict = lambda self: None  # type: ignore[assignment]

    class Full(Unconditional):
        tags = dpgen.Tags(needs_public=True)

    few, all_of_them = ({check.__name__ for check in checks_for(kind())} for kind in (Unconditional, Full))
    assert all_of_them - few == {
        "check_makes_the_labels_that_are_asked_for",
        "check_refuses_labels_that_do_not_fit",
        "check_resumes_to_the_same_result",
        "check_says_when_public_data_is_missing",
    }


def test_the_kit_needs_neither_pytest_nor_hypothesis() -> None:
    program = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "from dpgen.testing.conformance import examine\n"
        "from dpgen.accountants import GdpAccountant\n"
        "assert all(finding.outcome == 'passed' for finding in examine(GdpAccountant()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_levels() -> None:
    good, bad = Finding("check_a", Outcome.PASSED), Finding("check_b", Outcome.EXPECTED_FAILURE)
    name = "dpgen.accountants.gdp.GdpAccountant"
    assert level_of(GdpAccountant, [good]) is Level.CHECKED
    assert level_of(GdpAccountant, [good, bad]) is Level.UNCHECKED
    assert level_of(GdpAccountant, []) is Level.UNCHECKED
    review = Review("docs/explanation/proofs/gdp.md", source_digest(GdpAccountant))
    assert level_of(GdpAccountant, [good], reviews={name: review}) is Level.VETTED
    assert level_of(GdpAccountant, [good, bad], reviews={name: review}) is Level.UNCHECKED
    changed = Review(review.note, "another source")
    assert level_of(GdpAccountant, [good], reviews={name: changed}) is Level.CHECKED
    assert least([Level.VETTED, Level.CHECKED]) is Level.CHECKED
    assert least([]) is Level.UNCHECKED


def plugin(monkeypatch: pytest.MonkeyPatch, **hooks: Any) -> None:
    module = ModuleType("plugin_to_check")
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, dpgen.hookimpl(function))
    monkeypatch.setitem(sys.modules, "plugin_to_check", module)


def test_a_package_is_as_good_as_the_least_of_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, dpgen_register_metrics=lambda: [Accuracy, Shouting])
    found = check_package("plugin_to_check")
    assert {report.name: report.level for report in found.classes} == {
        "accuracy": Level.CHECKED,
        "shouting": Level.UNCHECKED,
    }
    assert found.level is Level.UNCHECKED
    with pytest.raises(PluginError, match=r"found failures of shouting \(1\)"):
        found.require()


def test_a_class_with_arguments_needs_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    class Weighted(Metric):
        name = "weighted"

        def __init__(self, weight: float) -> None:
            self.weight = weight

        def measure(self, evidence: Any) -> Any:
            return Accuracy().measure(evidence)

    plugin(monkeypatch, dpgen_register_metrics=lambda: [Weighted])
    (finding,) = check_package("plugin_to_check").classes[0].findings
    assert (finding.check, finding.outcome) == ("check_has_an_example", Outcome.FAILED)
    plugin(
        monkeypatch,
        dpgen_register_metrics=lambda: [Weighted],
        dpgen_conformance_examples=lambda info: [Weighted(2.0), Accuracy()],
    )
    assert check_package("plugin_to_check").level is Level.CHECKED


@pytest.mark.parametrize("package", ["no_such_module_at_all", "json"])
def test_what_is_no_plugin_is_refused(package: str) -> None:
    with pytest.raises(PluginError):
        check_package(package)


def test_a_package_without_classes_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, dpgen_register_metrics=lambda: ())
    with pytest.raises(PluginError, match="expected classes to check"):
        check_package("plugin_to_check").require()


def test_the_command_passes_the_package_of_the_tutorial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BLUR)
    done = CliRunner().invoke(app, ["check", "dpgen_blur", "--json", "--config", str(BLUR / "blur.toml")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["package"], found["level"]) == ("dpgen_blur", "checked")
    assert {report["name"]: report["level"] for report in found["classes"]} == {
        "blur": "checked",
        "ink_counts": "checked",
        "zcdp": "checked",
    }


def test_the_command_fails_a_faulty_package_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, dpgen_register_metrics=lambda: [Shouting])
    done = CliRunner().invoke(app, ["check", "plugin_to_check"])
    assert isinstance(done.exception, PluginError)
    assert "shouting: check_metric_leaves_no_trace" in done.stdout
    assert "plugin_to_check: unchecked" in done.stdout
