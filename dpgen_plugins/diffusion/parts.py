"""Which parts of a network a setting chooses by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from dpgen.errors import InvalidValue


def chosen(names: Iterable[str], patterns: Sequence[str], *, setting: str) -> list[str]:
    """The names that a pattern matches, whole or up to one of their dots: `*.attention` takes all parts of each.

    Args: `patterns` as in a shell, where `*` also matches dots; `setting` is what they come from, for errors.
    Raises: `InvalidValue` for a pattern that matches nothing; it says what there is.
    """
    names = list(names)
    found = {pattern: {name for name in names if _matches(name, pattern)} for pattern in patterns}
    idle = [pattern for pattern, taken in found.items() if not taken]
    if idle:
        raise InvalidValue(
            f"{setting} must name parts of the network; found {idle}, which match none. "
            f"There are: {', '.join(_summary(names))}."
        )
    return [name for name in names if any(name in taken for taken in found.values())]


def train_only(network: nn.Module, patterns: Sequence[str], *, setting: str) -> None:
    """Freeze all parameters but those whose names the patterns choose. Raises: `InvalidValue` as `chosen`."""
    trained = set(chosen((name for name, _ in network.named_parameters()), patterns, setting=setting))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)


def trained_share(network: nn.Module) -> str:
    """For a plan: how many of the weights DP-SGD trains."""
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    every, trained = sum(size for size, _ in sizes), sum(size for size, trains in sizes if trains)
    return f"DP-SGD trains {trained:,} of {every:,} weights ({100 * trained / every:.1f} %)"


def _matches(name: str, pattern: str) -> bool:
    steps = name.split(".")
    return any(fnmatchcase(".".join(steps[:depth]), pattern) for depth in range(1, len(steps) + 1))


def _summary(names: Iterable[str]) -> list[str]:
    """The names, numbered ones once with `*` for the number."""
    return list(dict.fromkeys(re.sub(r"\.\d+\b", ".*", name) for name in names))
