"""What is kept beside a cell's run folder: the time it took and how its last attempt ended. Never leaves the owner."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, final

from dpgen.errors import StorageError
from dpgen.mechanisms.context import Advance, Progress
from dpgen.storage import parse_json, read, write_atomically

NAME: Final = "cell.json"
SECONDS_BETWEEN: Final = 5.0


@dataclass(frozen=True, slots=True)
class Note:
    """`seconds` over all attempts, but for at most `SECONDS_BETWEEN` of each that was killed."""

    seconds: float = 0.0
    attempts: int = 0
    at: str = ""
    """The phase and how far it is, of an attempt that goes on or was killed."""
    error: str = ""
    """How the last attempt failed; empty where it did not."""

    @staticmethod
    def of(folder: Path) -> Note:
        """The note in a cell's folder; an empty one where there is none. Raises: `StorageError` for a damaged one."""
        path = folder / NAME
        if not path.exists():
            return Note()
        try:
            return Note(**parse_json(read(path)))
        except (ValueError, TypeError) as error:
            raise StorageError(
                f"expected a note on a cell in {path}; it cannot be read ({type(error).__name__}). Remove the file: "
                "it holds times alone."
            ) from None

    def write(self, folder: Path) -> None:
        """Put it in a cell's folder, atomically."""
        write_atomically(folder / NAME, json.dumps(asdict(self)).encode())


@final
class Clock(Progress):
    """Writes a note every few seconds while an attempt goes on: a killed one leaves its time and place behind."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        before = Note.of(folder)
        self._folder, self._begun, self._spent = folder, time.monotonic(), before.seconds
        self._note = replace(before, attempts=before.attempts + 1, at="", error="")
        self._lock, self._ended = Lock(), Event()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Write now, then every few seconds, in a thread of its own."""
        self._write()
        thread = Thread(target=self._tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def end(self, error: str = "") -> None:
        """The last word on this attempt; call it when the clock ticks no more."""
        self._note = replace(self._note, at="", error=error)
        self._write()

    @contextmanager
    def track(self, phase: str, total: int) -> Iterator[Advance]:
        """Remember how far `phase` is."""
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            self._note = replace(self._note, at=f"{phase} {done}/{total}")

        advance(0)
        yield advance

    def _tick(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN):
            self._write()

    def _write(self) -> None:
        with self._lock:
            seconds = self._spent + time.monotonic() - self._begun
            replace(self._note, seconds=round(seconds, 3)).write(self._folder)
