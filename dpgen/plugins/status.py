"""What `dpgen plugins` shows of one plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OK = "ok"


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin: where it comes from, what it brings, and whether it works.

    `name` is the name of its entry point; `distribution` and `version` are those of the installed package, empty for
    a plugin registered in the running process; `source` is its module file. `registered` maps a kind in the plural
    (`generators`) to the names that the plugin brings. `state` is "ok" or the error, which says how to mend it.
    """

    name: str
    distribution: str
    version: str
    source: str
    hooks: tuple[str, ...]
    registered: Mapping[str, tuple[str, ...]]
    state: str

    @property
    def ok(self) -> bool:
        """Does everything of this plugin work?"""
        return self.state == OK

    def to_json(self) -> dict[str, Any]:
        """The status as plain JSON data; keys are the field names."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "source": self.source,
            "hooks": list(self.hooks),
            "registered": {kind: list(names) for kind, names in self.registered.items()},
            "state": self.state,
        }
