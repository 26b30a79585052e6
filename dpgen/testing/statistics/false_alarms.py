"""How often a suite of statistical tests may cry wolf, shared out among its tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from dpgen import validate
from dpgen.errors import InvalidValue

SUITE_FALSE_ALARMS: Final = 1e-6
"""The family-wise budget of a whole suite: at most this probability that any right source is rejected in one run."""


@final
@dataclass(frozen=True)
class FalseAlarmBudget:
    """`total` is shared equally (Bonferroni) among all assertions that could reject a right source.

    `assertions` names the tests, each with the number of assertions that it makes. The sum of all levels is `total`
    whatever the dependence between them, so several files add up: see `require_within`.
    Raises: `InvalidValue` for a total outside (0, 1), no test, or one without assertions.
    """

    total: float
    assertions: Mapping[str, int]

    def __post_init__(self) -> None:
        validate.open_unit(total=self.total)
        for name, number in self.assertions.items():
            validate.count(1, **{name: number})
        if not self.assertions:
            raise InvalidValue("a false-alarm budget needs a test to spend it; found none. Name one.")
        object.__setattr__(self, "assertions", MappingProxyType(dict(self.assertions)))

    def level(self, name: str) -> float:
        """The level of each assertion of the test `name`. Raises: `InvalidValue` for a test that is not listed."""
        if name not in self.assertions:
            known = ", ".join(self.assertions)
            raise InvalidValue(f"expected a test of this budget ({known}); found {name!r}. Add it to the list.")
        return self.total / sum(self.assertions.values())


def require_within(budgets: Iterable[FalseAlarmBudget], *, total: float = SUITE_FALSE_ALARMS) -> float:
    """The false alarms of all `budgets` together. Raises: `InvalidValue` where that is over `total`."""
    spent = math.fsum(budget.total for budget in budgets)
    if spent > total:
        raise InvalidValue(f"a suite may raise false alarms of {total:g}; found {spent:g}. Draw more samples for less.")
    return spent
