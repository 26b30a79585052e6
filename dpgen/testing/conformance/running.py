"""Run the checks of an object and say how each ended; an expected failure that passes is a failure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dpgen.errors import InvalidValue
from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.failure import CheckFailed, Unjudged
from dpgen.testing.conformance.selection import checks_for, trial_of


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    EXPECTED_FAILURE = "expected failure"
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one object; `message` says the rule, what was found, and the mend."""

    check: str
    outcome: Outcome
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The finding as plain JSON data."""
        return {"check": self.check, "outcome": str(self.outcome), "message": self.message}


def examine(subject: object, *, expected_failures: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """The findings of all checks of `subject`.

    Args: `expected_failures` maps names of checks to the reason why each is known to fail; one that passes fails.
    Raises: `InvalidValue` for an expected failure that is no check of `subject`.
    """
    expected, checks, trial = dict(expected_failures or {}), checks_for(subject), trial_of(subject)
    require_known(expected, checks)
    return tuple(_finding(check, trial, expected.get(check.__name__)) for check in checks)


def require_known(expected: Iterable[str], checks: Iterable[Check[Any]]) -> None:
    """Raises: `InvalidValue` for a name that none of `checks` has: it would expect nothing, and hide a typing error."""
    known = [check.__name__ for check in checks]
    for name in expected:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"Did you mean {near[0]!r}?" if near else f"There is: {', '.join(known)}."
            raise InvalidValue(f"an expected failure must name a check that is run; found {name!r}. {mend}")


def _finding(check: Check[Any], trial: Any, reason: str | None) -> Finding:
    name = check.__name__
    try:
        check(trial)
    except Unjudged as error:
        return Finding(name, Outcome.UNJUDGED, str(error))
    except CheckFailed as error:
        return Finding(name, Outcome.FAILED, str(error)) if reason is None else _expected(name, reason)
    except Exception as error:  # the class raised where no check foresaw it: on made-up data, so its text is public
        return Finding(name, Outcome.FAILED, f"{name} met an error of the class: {type(error).__name__}: {error}")
    if reason is not None:
        return Finding(
            name, Outcome.FAILED, f"it was expected to fail ({reason}) and passed. Take the expectation out."
        )
    return Finding(name, Outcome.PASSED)


def _expected(name: str, reason: str) -> Finding:
    return Finding(name, Outcome.EXPECTED_FAILURE, reason)
