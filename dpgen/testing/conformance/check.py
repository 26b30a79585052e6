"""What a check is: a plain function, named for its rule, that raises `CheckFailed` where the rule is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from dpgen.generators.base import Tags

T_contra = TypeVar("T_contra", contravariant=True)


class Check(Protocol[T_contra]):
    """`check_something(trial)`: returns where the rule holds, raises `CheckFailed` where it is broken."""

    __name__: str

    def __call__(self, trial: T_contra, /) -> None:
        """Judge what `trial` holds."""


Where = Callable[[Tags], bool]
_WHERE = "dpgen_where"


def where(holds: Where) -> Callable[[Any], Any]:
    """Mark a check of generators as one for those whose tags fulfil `holds`."""

    def mark(check: Any) -> Any:
        setattr(check, _WHERE, holds)
        return check

    return mark


def concerns(check: Any, tags: Tags) -> bool:
    """Is the check meant for a generator with these tags?"""
    holds: Where = getattr(check, _WHERE, lambda tags: True)
    return holds(tags)
