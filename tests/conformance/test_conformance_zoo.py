"""Each of the faulty classes fails the right check, and, in the slow run, no check that its fault does not touch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dpgen.testing.conformance import TOY_INFO, CheckFailed, Outcome, checks_for, examine
from dpgen.testing.conformance.selection import KINDS, trial_of

sys.path.insert(0, str(Path(__file__).parent))
from zoo import accounting, generating, measuring, posterior, scoring, sharded
from zoo.fault import Fault
from zoo.honest import Means, Sums

sys.path.pop(0)

ZOO = {
    "generator": generating.FAULTS,
    "mechanism": (*measuring.FAULTS, *posterior.FAULTS, *sharded.FAULTS),
    "accountant": accounting.FAULTS,
    "metric": scoring.FAULTS,
}
FAULTS = [pytest.param(fault, id=f"{kind}: {fault.name}") for kind, found in ZOO.items() for fault in found]
HONEST = [Means(), Sums(info=TOY_INFO), accounting.Honest(), scoring.Distance()]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_right_check_catches_it(fault: Fault) -> None:
    subject = fault.make()
    (check,) = (check for check in checks_for(subject) if check.__name__ == fault.check)
    with pytest.raises(CheckFailed) as caught:
        check(trial_of(subject))
    assert caught.value.rule
    assert caught.value.found
    assert caught.value.mend.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_no_check_that_it_does_not_touch_fails(fault: Fault) -> None:
    failing = {finding.check for finding in examine(fault.make()) if finding.outcome is Outcome.FAILED}
    assert fault.check in failing
    assert failing <= {fault.check, *fault.also}


@pytest.mark.parametrize("subject", HONEST, ids=lambda subject: type(subject).__name__)
def test_the_honest_class_that_they_are_made_from_passes(subject: object) -> None:
    assert [finding for finding in examine(subject) if finding.outcome is not Outcome.PASSED] == []


def test_there_is_a_fault_for_each_check_of_each_kind() -> None:
    for kind, (_, _, checks) in KINDS.items():
        unused = {check.__name__ for check in checks} - {fault.check for fault in ZOO[kind]}
        if kind == "generator":  # what generators and mechanisms share is shown to bite on mechanisms
            unused -= {fault.check for fault in ZOO["mechanism"]}
        exempt = SHARED if kind == "mechanism" else set()
        assert unused <= exempt, kind


SHARED = {
    "check_charges_equal_plan",  # what a mechanism alone charges is its own event
    "check_reads_records_only_in_a_release",  # a mechanism alone is only ever read inside of a release
    "check_refuses_before_reading",
    "check_same_seeds_same_output",
}


def test_the_zoo_is_large_and_no_two_faults_share_a_name() -> None:
    names = [(kind, fault.name) for kind, found in ZOO.items() for fault in found]
    assert len(names) == len(set(names)) >= 60
