"""Many hostile files, one after another, against a child process that may die of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import final

from dpgen.storage import digest
from dpgen.testing.crash import IMPORTED_ONCE
from dpgen.testing.fuzz.confined import Outcome, serve
from dpgen.testing.fuzz.targets import TARGETS, Case

_START_SECONDS, _CASE_SECONDS = 600.0, 60.0


@final
@dataclass(frozen=True)
class Failure:
    """A file that was not handled as it should be."""

    case: Case
    fault: str

    def keep(self, folder: Path) -> tuple[Path, str]:
        """Write the file into `folder`; its path, and the command that repeats the failure."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{digest(self.case.content)[:12]}-{self.case.name}"
        path.write_bytes(self.case.content)
        return path, f"python -m dpgen.testing.fuzz --replay {path} --target {self.case.target}"


@final
@dataclass
class Tally:
    """What the cases of one target came to."""

    cases: int = 0
    refused: int = 0
    seconds: float = 0.0
    mebibytes: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, case: Case, outcome: Outcome) -> None:
        """Count one more; `seconds` and `mebibytes` are those of the worst case so far."""
        self.cases += 1
        self.refused += bool(outcome.refused)
        self.seconds, self.mebibytes = max(self.seconds, outcome.seconds), max(self.mebibytes, outcome.mebibytes)
        if outcome.fault:
            self.failures.append(Failure(case, outcome.fault))


@final
class Campaign:
    """A child process for hostile files, started again whenever one of them ends it. Use it in a `with` block."""

    def __init__(self, targets: Iterable[str] = TARGETS) -> None:
        """For the readers of these names; the first file starts the child."""
        self._valid = [case for name in targets for case in TARGETS[name].valid()]
        self._yard = TemporaryDirectory(prefix="dpgen-fuzz-")
        self._child: tuple[BaseProcess, Connection] | None = None

    def open(self, case: Case) -> Outcome:
        """Open one hostile file in the child."""
        process, connection = self._child = self._child or self._started()
        try:
            connection.send(case)
            if connection.poll(_CASE_SECONDS):
                outcome = connection.recv()
                assert isinstance(outcome, Outcome)
                return outcome
            fault = f"no end after {_CASE_SECONDS:.0f} seconds"
        except (EOFError, OSError):
            process.join(5)
            fault = f"the process ended with {process.exitcode}"
        self._stop()
        return Outcome(fault, "", 0.0, 0.0)

    def __enter__(self) -> Campaign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._yard.cleanup()

    def _started(self) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("forkserver")  # a child that died is soon replaced
        context.set_forkserver_preload([serve.__module__, *IMPORTED_ONCE])
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, Path(self._yard.name)), daemon=True)
        process.start()
        theirs.close()
        for case in self._valid:
            ours.send(case)
        ours.send(None)
        answer = ours.recv() if ours.poll(_START_SECONDS) else "nothing"
        if answer != "ready":
            raise RuntimeError(f"expected the child process to open its valid files; found: {answer}")
        return process, ours

    def _stop(self) -> None:
        if self._child is not None:
            process, connection = self._child
            process.kill()
            process.join()
            connection.close()
            self._child = None


def run_cases(cases: Iterable[Case], targets: Iterable[str] = TARGETS) -> dict[str, Tally]:
    """Open all of them, which are for these targets; what came of it, by target."""
    tallies: dict[str, Tally] = {}
    with Campaign(targets) as campaign:
        for case in cases:
            tallies.setdefault(case.target, Tally()).add(case, campaign.open(case))
    return tallies
