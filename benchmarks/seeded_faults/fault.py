"""A seeded fault: one change of the source that a developer could really make, as data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "faults"


@dataclass(frozen=True)
class Fault:
    """Put `after` in the place of `before`, which stands exactly once in `file`.

    `tests` are tried first. A `benign` change alters no behaviour that anyone is promised: all tests must stay green.
    """

    name: str
    area: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    benign: bool = False

    def apply(self, root: Path) -> None:
        """Change the file under `root`. Raises: `ValueError` where `before` does not stand there exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: expected its text once in {self.file}; found it {text.count(self.before)} times. "
                "Write the fault anew for the code as it is now."
            )
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


def all_faults(folder: Path = FOLDER) -> list[Fault]:
    """Every fault on file: one TOML file an area, one `[fault-name]` table a fault."""
    found = []
    for path in sorted(folder.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.append(Fault(name=name, area=path.stem, **(table | {"tests": tuple(table["tests"])})))
    return found
