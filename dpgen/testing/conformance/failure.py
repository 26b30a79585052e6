"""How a check says no: the rule, what was found, and the mend."""

from __future__ import annotations

from dpgen.errors import DpgenError


class CheckFailed(DpgenError):
    """A class breaks a rule of its contract."""

    def __init__(self, rule: str, *, found: str, mend: str) -> None:
        self.rule, self.found, self.mend = rule, found, mend
        super().__init__(f"{rule}; found {found}. {mend}")


class Unjudged(DpgenError):
    """A check could not judge, because the toy run that it looks at failed; another check reports that failure."""


def require(holds: bool, rule: str, *, found: str, mend: str) -> None:
    """Raises: `CheckFailed` unless the rule `holds`."""
    if not holds:
        raise CheckFailed(rule, found=found, mend=mend)
