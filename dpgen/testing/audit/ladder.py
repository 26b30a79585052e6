"""The audit ladder: the mechanisms of a plan, rebuilt on made-up records and attacked, cheap rungs first.

Rungs: 0 replay on neighbours; 1 laws of noise and sampling; 2 single releases against crafted records; 3 one training
with many canaries; 4 many tiny trainings. Every rung runs its positive control: a deliberately broken twin, which must
be caught. Nothing private is opened at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from dpgen import validate
from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.errors import InvalidValue, PrivacyError
from dpgen.testing.audit.drawn import drawn, law_budget
from dpgen.testing.audit.finding import Finding
from dpgen.testing.audit.replayed import replayed
from dpgen.testing.audit.stepped import stepped
from dpgen.testing.audit.targets import DpSgdTarget, Target, targets_of
from dpgen.testing.audit.trained import many_runs, one_run

RUNGS: Final = ("replay", "laws", "steps", "one run", "many runs")
DEFAULT_RUNG: Final = 2
DEFAULT_SECONDS: Final = 120.0
_LAST_OF_RELEASES: Final = 2

Say = Callable[[str], None]


@final
@dataclass(frozen=True, kw_only=True)
class Audit:
    """All that was found, and one line for each charge that no shipped mechanism is rebuilt from."""

    findings: tuple[Finding, ...]
    not_audited: tuple[str, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """A claim that was refuted, or a control that was not caught."""
        return tuple(finding for finding in self.findings if finding.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Was something audited, and nothing found wrong?"""
        return not self.failures and any(finding.outcome == "passed" for finding in self.findings)

    def require(self) -> None:
        """Raises: `PrivacyError` naming what failed, unless the audit passed."""
        if self.passed:
            return
        names = "; ".join(f"{finding.subject}: {finding.check}" for finding in self.failures)
        raise PrivacyError(
            f"expected an audit that finds nothing against the claims; found {names or 'nothing that can be audited'}. "
            "Do not release before it is understood; `--json` has all figures."
        )

    def to_json(self) -> dict[str, Any]:
        """The audit as plain JSON data."""
        return {
            "passed": self.passed,
            "findings": [finding.to_json() for finding in self.findings],
            "not_audited": list(self.not_audited),
        }


def audit_plan(
    plan: Plan,
    budget: Budget,
    accountant: Accountant,
    *,
    rung: int = DEFAULT_RUNG,
    seconds: float = DEFAULT_SECONDS,
    say: Say | None = None,
) -> Audit:
    """Climb the ladder up to `rung` with every charge of `plan`; `accountant` proves the claims.

    Args: `seconds` for all of it; what does not fit is skipped, and the finding says what it would need. `say` hears a
    line for every rung that begins.
    Raises: `InvalidValue`; `UnsupportedEvent` for a plan that the accountant cannot price.
    """
    validate.positive(seconds=seconds)
    if rung not in range(len(RUNGS)):
        raise InvalidValue(f"rungs go from 0 to {len(RUNGS) - 1}; found {rung!r}. See `dpgen audit --help`.")
    targets, others = targets_of(plan, budget, accountant)
    deadline = time.monotonic() + seconds
    findings = tuple(_climb(targets, rung, deadline, say or (lambda line: None)))
    return Audit(findings=findings, not_audited=others)


def _climb(targets: Sequence[Target], highest: int, deadline: float, say: Say) -> Iterator[Finding]:
    level = law_budget(len(targets)).level("laws")
    for rung in range(highest + 1):
        # a single release has no training to be audited: rung 2 has shown all of it
        here = targets if rung <= _LAST_OF_RELEASES else [t for t in targets if isinstance(t, DpSgdTarget)]
        for place, target in enumerate(here):
            # what is left is shared by the audits still to come, so that no early one starves the rest
            waiting = len(here) - place + len(targets) * (highest - rung)
            share = max(0.0, deadline - time.monotonic()) / waiting
            say(f"rung {rung} ({RUNGS[rung]}): {target.label}, {target.mechanism}")
            yield from _step(rung, target, level=level, seconds=share)


def _step(rung: int, target: Target, *, level: float, seconds: float) -> Iterator[Finding]:
    match rung:
        case 0:
            return replayed(target)
        case 1:
            return drawn(target, level=level)
        case 2:
            return stepped(target, seconds=seconds)
    assert isinstance(target, DpSgdTarget), "higher rungs audit trainings"
    return one_run(target, seconds=seconds) if rung == 3 else many_runs(target, seconds=seconds)
