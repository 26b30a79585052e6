"""The conformance kit: does a generator, mechanism, accountant or metric keep the promises of its contract?

    from dpgen.testing.conformance import TOY_INFO, parametrize_with_checks

    @parametrize_with_checks([MyGenerator(tiny_settings), MyMechanism(info=TOY_INFO)])
    def test_conformance(check):
        check()

`dpgen check PACKAGE` runs the same checks on everything that a plugin registers. They use made-up data only, take
seconds, and find faults by looking at runs, not by statistics. To pass is evidence for the cases tried, not a proof.
"""

from __future__ import annotations

from dpgen.testing.conformance.assurance import Level
from dpgen.testing.conformance.data import TOY_INFO
from dpgen.testing.conformance.decorator import parametrize_with_checks
from dpgen.testing.conformance.failure import CheckFailed
from dpgen.testing.conformance.packages import PackageReport, check_package
from dpgen.testing.conformance.running import Finding, Outcome, examine
from dpgen.testing.conformance.selection import checks_for

__all__ = [
    "TOY_INFO",
    "CheckFailed",
    "Finding",
    "Level",
    "Outcome",
    "PackageReport",
    "check_package",
    "checks_for",
    "examine",
    "parametrize_with_checks",
]
