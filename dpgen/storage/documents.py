"""JSON from a file that a stranger may have written: read in one way only, within bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from dpgen.errors import InvalidValue

MOST_LEVELS = 64
"""Nesting of lists and objects. Deeper than any file of dpgen's, and shallow enough for every recursion over it."""


def parse_json(text: bytes | str) -> Any:
    """The data in a JSON text, in UTF-8 where it is bytes.

    Stricter than `json.loads`: a key may appear once in its object (else two readers could see two values), numbers
    are finite, and nesting ends at `MOST_LEVELS`.
    Raises: `InvalidValue`, a `ValueError`, that quotes nothing of the text.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        data = json.loads(
            text, object_pairs_hook=_with_distinct_keys, parse_float=_finite, parse_constant=_refuse_constant
        )
    except InvalidValue:
        raise
    except (ValueError, RecursionError) as error:  # broken UTF-8 and integers of thousands of digits among the first
        raise _refusal(f"something else ({type(error).__name__})") from None
    if text.count("{") + text.count("[") > MOST_LEVELS:  # else it cannot be deeper, and most texts are short
        _refuse_depth(data)
    return data


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _refusal("a key twice in one object")
    return found


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):  # 1e999 is an infinity in disguise
        raise _refusal("a number beyond the range of a double")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _refusal(name)


def _refuse_depth(data: Any) -> None:
    level = [data]
    for _ in range(MOST_LEVELS):
        level = [item for value in level for item in _inner(value)]
        if not level:
            return
    raise _refusal(f"more than {MOST_LEVELS} levels")


def _inner(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    return [item for item in value if isinstance(item, Mapping | list)] if isinstance(value, list) else []


def _refusal(found: str) -> InvalidValue:
    return InvalidValue(
        f"expected JSON with each key once, finite numbers and at most {MOST_LEVELS} levels; found {found}. "
        "Restore the file from where it came."
    )
