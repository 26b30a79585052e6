from __future__ import annotations

import math

import pytest

from dpgen import validate
from dpgen.errors import InvalidValue


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (validate.positive, [1, 0.5], [0, -1, math.inf, math.nan, "1", None, True]),
        (validate.not_negative, [0, 2.5], [-1e-9, math.nan, False]),
        (validate.probability, [0, 1, 0.5], [-0.1, 1.1, math.nan]),
        (validate.open_unit, [0.5, 1e-300], [0, 1, 2, math.nan]),
    ],
)
def test_ranges(check: object, good: list[object], bad: list[object]) -> None:
    for value in good:
        check(x=value)  # type: ignore[operator]
    for value in bad:
        with pytest.raises(InvalidValue, match=r"^x must .*; found"):
            check(x=value)  # type: ignore[operator]


def test_counts() -> None:
    validate.count(1, steps=1)
    for value in (0, 1.0, True, "1"):
        with pytest.raises(InvalidValue, match="steps must be an integer >= 1; found"):
            validate.count(1, steps=value)
