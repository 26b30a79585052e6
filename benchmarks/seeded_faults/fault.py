"""A seeded fault: one change of the source that a developer could really make, as data."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "faults"

CORRECTNESS = "correctness"
"""The area of faults that spoil a result and no privacy guarantee. They are counted apart."""


@dataclass(frozen=True)
class Fault:
    """Put `after` in the place of `before`, which stands exactly once in `file`.

    `tests` are tried first. A `benign` change alters no behaviour that anyone is promised: all tests must stay green.
    `escapes` says why a fault that no test catches stays in the list, `note` what else must be known of it.
    """

    name: str
    area: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    benign: bool = False
    escapes: str = ""
    note: str = ""

    @property
    def patch(self) -> str:
        """A short hash of what is changed into what: a row of another hash is no result of this fault."""
        return hashlib.sha256(json.dumps([self.file, self.before, self.after]).encode()).hexdigest()[:16]

    def applied_to(self, text: str) -> str:
        """The text of the file with the fault in it. Raises: `ValueError` where `before` does not stand there once."""
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: expected its text once in {self.file}; found it {text.count(self.before)} times. "
                "Write the fault anew for the code as it is now."
            )
        return text.replace(self.before, self.after)

    def apply(self, root: Path) -> None:
        """Change the file under `root`. Raises: as `applied_to`."""
        path = root / self.file
        path.write_text(self.applied_to(path.read_text(encoding="utf-8")), encoding="utf-8")

    def complaint(self, root: Path) -> str | None:
        """Why this is no fault of the tree at `root`: another text, no valid Python, no such test; None where it is."""
        try:
            changed = self.applied_to((root / self.file).read_text(encoding="utf-8"))
            compile(changed, self.file, "exec")
        except (OSError, ValueError, SyntaxError) as error:
            return f"{self.name}: {error}" if self.name not in str(error) else str(error)
        missing = [test for test in self.tests if not (root / test.partition("::")[0]).exists()]
        return f"{self.name}: expected tests that exist; found none at {', '.join(missing)}." if missing else None


def all_faults(folder: Path = FOLDER) -> list[Fault]:
    """Every fault on file: one TOML file an area, one `[fault-name]` table a fault."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.append(Fault(name=name, area=path.stem, **(table | {"tests": tuple(table["tests"])})))
    return found
