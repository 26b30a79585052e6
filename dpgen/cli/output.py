"""Where a command prints: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from dpgen.mechanisms.context import Progress

NARROW = 100
"""Columns of a table that is not printed on a terminal, where the environment variable COLUMNS does not say."""


class Output:
    """`json`: the result is one JSON document and nothing else is on standard output. `quiet`: no progress either.

    `silent`: nothing at all, for a process that leaves the talking to another one.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, silent: bool = False) -> None:
        self._json, self._quiet, self._silent = json, quiet or silent, silent
        self._errors = Console(stderr=True)
        self._results = Console(width=None if sys.stdout.isatty() else _columns())

    def result(self, data: Mapping[str, Any] | Sequence[Any], *shown: RenderableType) -> None:
        """Print the result: `data` under `--json`, else what is `shown`."""
        if self._silent:
            return
        if self._json:
            print(json.dumps(_finite(data), indent=2, ensure_ascii=False, allow_nan=False))
        else:
            for item in shown:
                self._results.print(item, highlight=False, markup=False, soft_wrap=isinstance(item, str))

    def note(self, text: str) -> None:
        """Say something that is not the result; silent under `--quiet`."""
        if not self._quiet:
            self._errors.print(text, highlight=False, markup=False, soft_wrap=True)

    def note_table(self, table: RenderableType) -> None:
        """Like `note`, for a table."""
        if not self._quiet:
            self._errors.print(table, highlight=False)

    def progress(self, cumulative: Mapping[str, float]) -> AbstractContextManager[Progress]:
        """Bars on a terminal, lines elsewhere, nothing under `--quiet`; `cumulative` epsilon by charge."""
        from dpgen.cli.progress import BarProgress, LineProgress
        from dpgen.mechanisms.context import SilentProgress

        if self._quiet:
            return nullcontext(SilentProgress())
        return BarProgress(cumulative, self._errors) if self._errors.is_terminal else LineProgress(cumulative)


def _columns() -> int:
    wanted = os.environ.get("COLUMNS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else NARROW


def _finite(value: Any) -> Any:
    """`value` with infinities spelt as text: JSON has no number for them."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
