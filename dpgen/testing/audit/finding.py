"""What a rung of the audit ladder found: one line for one thing that it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dpgen.testing.statistics.epsilon_bound import EpsilonBound

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`subject` is the label of a charge. A control is a deliberately broken twin: it passes when it was caught.

    `why` is one line; of a failure: expected, found, what to do. A skipped finding is neither for nor against.
    """

    rung: int
    subject: str
    check: str
    outcome: Outcome
    why: str
    control: bool = False
    bound: EpsilonBound | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding as plain JSON data."""
        found: dict[str, Any] = {
            "rung": self.rung,
            "subject": self.subject,
            "check": self.check,
            "control": self.control,
            "outcome": self.outcome,
            "why": self.why,
        }
        return found if self.bound is None else found | {"bound": self.bound.to_json()}


def judged(rung: int, subject: str, bound: EpsilonBound) -> Finding:
    """A lower bound against its claim."""
    beside = f"epsilon at least {bound.lower:.4g}, claimed at most {bound.claimed:.4g}"
    hypothesis = bound.family or "no hypothesis"
    why = f"{beside}; level {bound.level:g}, {bound.samples} observations, {hypothesis}"
    if bound.refuted:
        why = f"expected no more than claimed; found {why}. Do not release; look for missing noise, clip or sampling."
    return Finding(
        rung=rung,
        subject=subject,
        check=bound.attack,
        outcome="failed" if bound.refuted else "passed",
        why=why,
        bound=bound,
    )


def control(rung: int, subject: str, name: str, bound: EpsilonBound) -> Finding:
    """The same attack on a broken twin, which must be refuted: otherwise the attack would see nothing at all."""
    found = f"epsilon at least {bound.lower:.4g} for the twin, claimed at most {bound.claimed:.4g}"
    why = (
        f"caught: {found}" if bound.refuted else f"expected the twin to be caught; found {found}. This audit is blind."
    )
    return Finding(
        rung=rung,
        subject=subject,
        check=f"control: {name}",
        outcome="passed" if bound.refuted else "failed",
        why=why,
        control=True,
        bound=bound,
    )
