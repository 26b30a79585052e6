"""The folder of one run: what may be given away, what never leaves the owner, and which state the run is in."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from dpgen.errors import ResumeError, StorageError
from dpgen.record import NAME as RECORD
from dpgen.storage import FileLock, read, remove_durably, rename_durably, write_atomically

KEY: Final = "run.key"
"""What the internal folder of an unfinished run holds, and that of a finished one no longer."""


@final
class RunFolder:
    """`release/` and `internal/` under one root.

    A run is untouched, then begun (its settings are written: from here on it may have charged something and can only
    be resumed), then finished (`release/` is in place, which happens in one atomic step).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.release, self.internal = root / "release", root / "internal"
        self.staging = self.internal / "release.staging"
        self.checkpoints = self.internal / "checkpoints"
        self.ledger = self.internal / "ledger.jsonl"
        self.log = self.internal / "run.log"
        self.scores = self.internal / "scores.json"
        self.report = self.internal / "report.html"
        self._settings, self._key = self.internal / "settings.json", self.internal / KEY

    @property
    def begun(self) -> bool:
        """May the run have charged something?"""
        return self._settings.exists()

    @property
    def finished(self) -> bool:
        """Is the release in place?"""
        return (self.release / RECORD).exists()

    def check(self, *, resume: bool) -> None:
        """Is the folder in a state to start a run, or to `resume` one?

        Raises: `StorageError` for a start where there is something already; `ResumeError` where there is nothing.
        """
        if resume and not self.internal.is_dir():
            raise ResumeError(
                f"expected a run to resume in {self.root}; found none, so nothing was charged. "
                "Start it without --resume."
            )
        if resume or not self.root.exists():
            return
        if not self.root.is_dir():
            raise StorageError(
                f"expected a folder for the run; found a file at {self.root}. Choose another one (run.output or --out)."
            )
        if self.finished or self.begun:
            state = "a finished" if self.finished else "an unfinished"
            mend = "Choose" if self.finished else "Continue it with --resume, or choose"
            raise StorageError(
                f"expected a new run folder; {self.root} holds {state} run. {mend} another one (run.output or --out)."
            )
        if any(path != self.internal for path in self.root.iterdir()):
            raise StorageError(
                f"expected a new or empty run folder; {self.root} holds other files. "
                "Choose another one (run.output or --out)."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes. Raises: `StorageError` when one is at work in it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.internal.mkdir(mode=0o700, exist_ok=True)  # for the owner's eyes alone
        except OSError as error:
            raise StorageError(
                f"expected a place to write the run at {self.root}; it cannot be made ({type(error).__name__}). "
                "Choose another one (run.output or --out), or mend its permissions."
            ) from error
        lock = FileLock(self.internal / "lock")
        if not lock.acquire():
            raise StorageError(
                f"expected to be alone in {self.root}; found {lock.holder} at work in it. "
                "Wait for it to end, or choose another folder (run.output or --out)."
            )
        try:
            yield
        finally:
            lock.release()

    def begin(self, settings: dict[str, Any], private_content: Iterator[memoryview], *, name: str, key: bytes) -> None:
        """Write the run key, then the settings that a resumed run must match.

        The private data enters only as an HMAC under the run key: without the key it tells nothing.
        """
        for leftover in (self.staging, self.checkpoints):  # of a process that died before this line
            shutil.rmtree(leftover, ignore_errors=True)
        write_atomically(self._key, key, mode=0o600)
        run_id = f"{name}-{secrets.token_hex(8)}"
        sealed = settings | {"run": run_id, "private_data": keyed_digest(key, private_content)}
        write_atomically(self._settings, json.dumps(sealed, indent=2).encode())

    def abandon(self) -> None:
        """Undo `begin`, for a run that was refused before it could charge anything."""
        remove_durably(self._settings)
        self.forget_key()

    def require_settings(self, settings: dict[str, Any]) -> None:
        """Raises: `ResumeError` naming what has changed since the run began here."""
        begun_with = {name: value for name, value in self._stored().items() if name not in ("run", "private_data")}
        changed = _differences(begun_with, settings)
        if changed:
            raise ResumeError(
                f"expected the settings that the run in {self.root} began with; found changes in "
                f"{', '.join(changed)}. Undo them, or start a new run in another folder."
            )

    def resume(self, settings: dict[str, Any], private_content: Iterator[memoryview]) -> bytes:
        """The key of the run begun here, if its settings and its private data are still the same.

        Raises: `ResumeError` naming what has changed; the content of nothing private is shown.
        """
        self.require_settings(settings)
        try:
            key = read(self._key)
        except StorageError as error:
            raise ResumeError(
                f"expected the run key in {self.internal}; it is gone, so the run cannot repeat its noise. "
                "Start a new run in another folder; what this one charged stays charged."
            ) from error
        if not hmac.compare_digest(self._stored()["private_data"], keyed_digest(key, private_content)):
            raise ResumeError(
                f"expected the private data that the run in {self.root} began with; found other data. "
                "Restore it, or start a new run in another folder."
            )
        return key

    @property
    def run_id(self) -> str:
        """Names the run in the data owner's ledger. Public and random; only for a run that has begun."""
        return str(self._stored()["run"])

    def sweep(self) -> None:
        """Remove the half-written files and folders that a killed process may have left among those to be released."""
        for leftover in sorted(self.staging.rglob(".*.tmp")):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)  # gone with its folder

    def complete(self) -> None:
        """Put the staged release in place, in one atomic step, then forget the run key."""
        rename_durably(self.staging, self.release)
        self.forget_key()

    def forget_key(self) -> None:
        """Delete the run key: who holds it and the release could take the noise away."""
        remove_durably(self._key)

    def _stored(self) -> dict[str, Any]:
        data = json.loads(read(self._settings))
        assert isinstance(data, dict)
        return data


def keyed_digest(key: bytes, content: Iterator[memoryview]) -> str:
    """HMAC-SHA-256, in hex: without the key it tells nothing of the content."""
    code = hmac.new(key, b"dpgen private data", hashlib.sha256)
    for part in content:
        code.update(part)
    return code.hexdigest()


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
    """The key paths at which two settings differ."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [path]
    below = f"{path}." if path else ""
    keys = sorted(before.keys() | now.keys())
    return [found for key in keys for found in _differences(before.get(key), now.get(key), f"{below}{key}")]
