"""The child process: opens one hostile file after another, within limits, and watches what that does."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, final

import torch

from dpgen.errors import DpgenError
from dpgen.testing.fuzz.targets import TARGETS, Case

GIB = 2**30
SECONDS = 1.0
"""Processor time for one file."""
_HARD_SECONDS = 20
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CODE = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect")


@final
@dataclass(frozen=True)
class Outcome:
    """What opening one file came to; `fault` says what is wrong with that, and is empty when nothing is."""

    fault: str
    refused: str
    seconds: float
    mebibytes: float


def serve(connection: Connection, yard: Path) -> None:
    """Open the cases that arrive, each in a folder `box` of `yard`, until None arrives; the limits hold from the first
    None on. What is imported or cached late is nobody's fault, so valid files come before it.
    """
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libjpeg talk
    watch = _Watch(yard / "box")
    sys.addaudithook(watch)
    while (case := connection.recv()) is not None:
        outcome = _open(case, yard, watch)
        if outcome.refused or outcome.fault.startswith("untyped"):
            connection.send(f"{case.name} is valid, yet: {outcome.refused or outcome.fault}")
    limit = _memory("VmSize") + GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send("ready")
    while (case := connection.recv()) is not None:
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + _HARD_SECONDS, resource.RLIM_INFINITY))
        connection.send(_open(case, yard, watch))


def _open(case: Case, yard: Path, watch: _Watch) -> Outcome:
    box = yard / "box"
    shutil.rmtree(box, ignore_errors=True)
    folder = box / "model" if case.target == "models" else box
    folder.mkdir(parents=True)
    for name, content in {**case.beside, case.name: case.content}.items():
        (folder / name).write_bytes(content)
    around = _names(yard)
    _forget_peak()
    before, start, fault, refused = _memory("VmRSS"), time.process_time(), "", ""
    with watch.watching():
        try:
            TARGETS[case.target].use(folder / case.name)
        except DpgenError as error:
            refused = type(error).__name__
        except BaseException as error:
            fault = f"untyped {type(error).__name__}: {str(error)[:200]}"
    seconds, used = time.process_time() - start, (_memory("VmHWM") - before) / 2**20
    if seconds > SECONDS:
        fault = fault or f"{seconds:.1f} s of processor time"
    if used > GIB / 2**20:
        fault = fault or f"{used:.0f} MiB of memory"
    if _names(yard) != around:
        fault = fault or "a file outside of its folder"
    return Outcome(fault or watch.seen, refused, seconds, used)


@final
class _Watch:
    """An audit hook: notes writing outside of `box`, and anything that runs code."""

    def __init__(self, box: Path) -> None:
        self._box, self._on, self.seen = str(box), False, ""

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._on, self.seen = True, ""
        try:
            yield
        finally:
            self._on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or self.seen:
            return
        if event in _CODE or event in _WRITES or (event == "open" and arguments[2] & _WRITING):
            place: Any = arguments[0] if arguments else None
            named = isinstance(place, str | bytes | os.PathLike)  # else an open descriptor: its name was seen before
            if event in _CODE or (named and not os.path.abspath(os.fsdecode(place)).startswith(self._box)):
                self.seen = f"{event} {place!r}"


def _names(yard: Path) -> list[str]:
    return sorted(name for name in os.listdir(yard) if name != "box")


def _memory(field: str) -> int:
    """A size of this process in bytes, as the kernel states it; 0 where it does not."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), 0)


def _forget_peak() -> None:
    """Start a new `VmHWM`."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
