"""An append-only file of JSON lines, each holding the SHA-256 of the line before it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, final

from dpgen.errors import InvalidValue, LedgerError
from dpgen.storage import FileLock, append_durably, digest, parse_json, read, truncate_durably

Entry = dict[str, Any]

FIRST = "0" * 64
"""What stands for the hash of the line before the first."""


@dataclass(frozen=True, slots=True)
class Known:
    """Whole lines that this process has decoded and checked before: their bytes, their number, and the last hash.

    `appended`: it has appended one itself, so the name of the file is durable.
    """

    content: bytes = b""
    lines: int = 0
    head: str = FIRST
    appended: bool = False


@final
class Chain:
    """The lines of one file, locked against other writers while open; kept in memory when `path` is None.

    A torn last line (no line break at its end) is cut off when the chain is opened. That is sound: `append` returns
    only after the line, break included, is on the disk, so whoever was appending it never got as far as reading data.
    """

    def __init__(self, path: Path | None, *, wait: float = 0.0, known: Known | None = None) -> None:
        """Open `path`, creating it with the first line appended; wait up to `wait` seconds for another writer.

        Who opens the file again and again says which lines are `known`. They are compared byte by byte and not decoded
        again, `entries` are the ones behind them, and the lock file stays for the next time.

        Raises: `LedgerError` when the file is in use, altered, or shorter than `known`; `StorageError` when the disk
        fails.
        """
        self._path, self._process = path, os.getpid()
        self._head, self._sound = FIRST, True
        self._lock: FileLock | None = None
        self._known = known or Known()
        self._appended = self._known.appended
        self._new: list[bytes] = []  # the lines behind them
        self.entries: list[Entry] = []
        if path is None:
            return
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), wait=wait, keep=known is not None)
        if not self._lock.acquire():
            raise LedgerError(
                f"expected {path} to be free; found it in use by {self._lock.holder}. Wait for that process to end, "
                "or write to another folder."
            )
        try:
            self._replay(path)
        except BaseException:
            self._lock.release()
            raise

    def append(self, entry: Entry) -> None:
        """Add a line; when this returns it survives a power cut. Raises: `StorageError`, `LedgerError`."""
        self.require_open()
        line = encode(entry, self._head)
        if self._path is not None:
            self._sound = False  # an append that fails may leave half a line: then only opening again is safe
            append_durably(self._path, line, named=self._appended)
            self._sound = self._appended = True
        self._head = digest(line)
        self._new.append(line + b"\n")
        self.entries.append(entry)

    @property
    def known(self) -> Known:
        """What a later `Chain` on the same file need not decode again."""
        content = self._known.content + b"".join(self._new)
        return Known(content, self._known.lines + len(self._new), self._head, self._appended)

    def require_open(self) -> None:
        """Raises: `LedgerError` unless this process may append."""
        if not self._sound:
            self._refuse("open", "closed, or unsure of its last line after a failed write", "Open the file again")
        if os.getpid() != self._process:
            self._refuse("used by the process that opened it", "used by a forked one", "Charge in the parent process")

    def close(self) -> None:
        """Let others write; appending is over."""
        self._sound = False
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise TypeError("an open ledger belongs to one process and cannot be pickled; open it where it is used")

    def _replay(self, path: Path) -> None:
        content = read(path) if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.entries, self._head = decode(whole, path, known=self._known)
        if len(whole) < len(content):
            truncate_durably(path, len(whole))
        self._new = [line + b"\n" for line in whole[len(self._known.content) :].split(b"\n")[:-1]]

    def _refuse(self, expected: str, found: str, mend: str) -> NoReturn:
        raise LedgerError(
            f"expected the ledger {self._path or 'in memory'} to be {expected}; found it {found}. {mend}."
        )


def encode(entry: Mapping[str, Any], previous: str) -> bytes:
    """The line, without its break, that holds `entry` after the line whose hash is `previous`."""
    return json.dumps({"previous": previous} | dict(entry), allow_nan=False).encode()


def decode(content: bytes, path: Path, *, known: Known | None = None) -> tuple[list[Entry], str]:
    """The entries of whole lines behind those that are `known`, and the hash of the last line.

    Raises: `LedgerError` when the known lines are not there, or naming the first line that is no JSON object, or does
    not follow from the one before it.
    """
    before = known or Known()
    if not content.startswith(before.content):
        raise LedgerError(
            f"expected {path} to begin with the {before.lines} lines read from it before; found it altered, or put "
            "back to an older state. Restore the ledger from a backup; without it nothing may be read from the data."
        )
    entries: list[Entry] = []
    head = before.head
    for number, line in enumerate(content[len(before.content) :].split(b"\n")[:-1], start=before.lines + 1):
        try:
            entry = parse_json(line)
        except InvalidValue:
            entry = None
        if not isinstance(entry, Mapping) or entry.get("previous") != head:
            raise LedgerError(
                f"expected line {number} of {path} to follow from the line before it; found it altered. "
                "Restore the ledger from a backup; without it nothing may be read from the data."
            )
        entries.append({key: value for key, value in entry.items() if key != "previous"})
        head = digest(line)
    return entries, head
