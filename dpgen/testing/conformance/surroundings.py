"""What code leaves behind besides its result: text, files, and the state of the global random generators."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch

_opened: list[str] | None = None  # paths opened for writing while somebody watches
_hooked = False
_FIRST_SEED: Final = 9_100_000
"""Where the global generators start: no seed that code under test is likely to set, so that setting one shows."""


@dataclass
class Traces:
    """What was said (a line each: printed, logged, warned), which files stayed, which generators changed."""

    said: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    generators: list[str] = field(default_factory=list)


@contextmanager
def surroundings(*, allowed: Path, global_seed: int = 0) -> Iterator[Traces]:
    """Run a block in an empty working folder and note what it leaves; files below `allowed` are no trace.

    The global random generators start from `global_seed` and get their own state back afterwards.
    """
    traces, printed = Traces(), io.StringIO()
    with _own_folder() as folder, _listening(traces.said), _generators(traces.generators, global_seed):
        with _opened_files() as opened, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield traces
        inside = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        elsewhere = {Path(name).absolute() for name in opened}
        traces.files += inside + [str(path) for path in sorted(elsewhere) if _is_trace(path, folder, allowed)]
    traces.said += printed.getvalue().splitlines()


def _is_trace(path: Path, folder: Path, allowed: Path) -> bool:
    if path.is_relative_to(folder) or path.is_relative_to(allowed) or path.suffix == ".pyc":  # imports compile
        return False
    return path.is_file()


@contextmanager
def _own_folder() -> Iterator[Path]:
    """An empty folder as working folder and as place for temporary files."""
    before, path, temporary = Path.cwd(), list(sys.path), tempfile.tempdir
    with tempfile.TemporaryDirectory() as name:
        sys.path[:] = [entry or str(before) for entry in sys.path]  # "" means the working folder
        tempfile.tempdir = name
        os.chdir(name)
        try:
            yield Path(name).resolve()
        finally:
            os.chdir(before)
            tempfile.tempdir = temporary
            sys.path[:] = path


@contextmanager
def _opened_files() -> Iterator[list[str]]:
    global _opened, _hooked
    if not _hooked:  # a hook stays for ever, and does nothing while nobody watches
        sys.addaudithook(_note_opening)
        _hooked = True
    names: list[str] = []
    _opened = names
    try:
        yield names
    finally:
        _opened = None


def _note_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is None or event != "open":
        return
    path, mode, flags = arguments
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if isinstance(path, str | bytes) and (writes or (isinstance(mode, str) and set(mode) & set("wax+"))):
        _opened.append(os.fsdecode(path))


@final
class _Lines(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(level=1)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.extend(record.getMessage().splitlines())


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    """Every log line and every warning, whatever the levels and filters outside."""
    root, handler = logging.getLogger(), _Lines(said)
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        said.extend(line for warning in caught for line in str(warning.message).splitlines())
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def _generators(changed: list[str], seed: int) -> Iterator[None]:
    before, seed = _states(), _FIRST_SEED + seed
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the legacy generator is what is watched
    torch.manual_seed(seed)
    start = _states()
    try:
        yield
        changed.extend(name for name, state in _states().items() if repr(state) != repr(start[name]))
    finally:
        random.setstate(before["random"])
        np.random.set_state(before["numpy.random"])  # noqa: NPY002
        torch.set_rng_state(torch.tensor(before["torch"], dtype=torch.uint8))


def _states() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    legacy = (name, tuple(np.asarray(keys).tolist()), *rest)
    return {"random": random.getstate(), "numpy.random": legacy, "torch": torch.get_rng_state().tolist()}
