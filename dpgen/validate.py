"""Validators that take names, so that all messages read alike: `positive(steps=n)`, "steps must be > 0; found -1"."""

from __future__ import annotations

import math
from numbers import Real

from dpgen.errors import InvalidValue


def _number(name: str, value: object) -> float:
    try:
        if not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value):
            return float(value)
    except OverflowError:  # an integer beyond every double
        raise InvalidValue(f"{name} must be a finite number; found an integer beyond the range of a double.") from None
    raise InvalidValue(f"{name} must be a finite number; found {value!r}. Give {name} as a plain number.")


def positive(**values: object) -> None:
    """Each value is a finite number > 0, else `InvalidValue`."""
    for name, value in values.items():
        if _number(name, value) <= 0:
            raise InvalidValue(f"{name} must be > 0; found {value!r}.")


def not_negative(**values: object) -> None:
    """Each value is a finite number >= 0, else `InvalidValue`."""
    for name, value in values.items():
        if _number(name, value) < 0:
            raise InvalidValue(f"{name} must be >= 0; found {value!r}.")


def probability(**values: object) -> None:
    """Each value lies in [0, 1], else `InvalidValue`."""
    for name, value in values.items():
        if not 0 <= _number(name, value) <= 1:
            raise InvalidValue(f"{name} must lie in [0, 1]; found {value!r}.")


def open_unit(**values: object) -> None:
    """Each value lies strictly between 0 and 1, else `InvalidValue`."""
    for name, value in values.items():
        if not 0 < _number(name, value) < 1:
            raise InvalidValue(f"{name} must lie strictly between 0 and 1; found {value!r}.")


def count(minimum: int, **values: object) -> None:
    """Each value is an integer >= `minimum`, else `InvalidValue`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise InvalidValue(f"{name} must be an integer >= {minimum}; found {value!r}.")
