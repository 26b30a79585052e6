"""`parametrize_with_checks`: the kit as pytest tests, one a check and object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpgen.testing.conformance.check import Check
from dpgen.testing.conformance.failure import CheckFailed, Unjudged
from dpgen.testing.conformance.running import require_known
from dpgen.testing.conformance.selection import checks_for, trial_of

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Test = Callable[..., None]


def parametrize_with_checks(
    subjects: Sequence[object], *, expected_failures: Mapping[str, str] | None = None
) -> Callable[[Test], Test]:
    """Make a test with the argument `check` one test for each check of each of `subjects`.

        @parametrize_with_checks([MyGenerator(tiny_settings)], expected_failures={"check_x": "reason"})
        def test_conformance(check):
            check()

    Args: `subjects`, generators, mechanisms, accountants and metrics, small ones: mechanisms made for `TOY_INFO`.
        `expected_failures` maps a check's name to the reason why it fails; one that passes is a failing test.
    Raises: `InvalidValue` for another kind of object, or an expected failure that is no check of any of them.
    """
    import pytest

    expected = dict(expected_failures or {})
    require_known(expected, [check for subject in subjects for check in checks_for(subject)])
    cases = [case for subject in subjects for case in _cases(subject, expected)]
    mark: Callable[[Test], Test] = pytest.mark.parametrize("check", cases)
    return mark


def _cases(subject: object, expected: Mapping[str, str]) -> list[ParameterSet]:
    import pytest

    trial = trial_of(subject)
    cases = []
    for check in checks_for(subject):
        reason = expected.get(check.__name__)
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True, raises=CheckFailed),)
        cases.append(pytest.param(_bound(check, trial), id=f"{type(subject).__name__}-{check.__name__}", marks=marks))
    return cases


def _bound(check: Check[Any], trial: Any) -> Callable[[], None]:
    """The check with its trial; skipped where another check reports why it cannot judge."""

    def run() -> None:
        import pytest

        try:
            check(trial)
        except Unjudged as reason:
            pytest.skip(str(reason))

    run.__name__ = check.__name__
    return run
