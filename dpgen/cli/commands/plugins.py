"""`dpgen plugins`: what is installed, what it brings, and what is broken and how to mend it."""

from __future__ import annotations

from dpgen.cli.commands.options import Json


def plugins(json: Json = False) -> None:
    """List the installed plugins: name, version, source, hooks, what each brings, and whether it works."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import plugins_table
    from dpgen.plugins.registry import default_registry

    found = default_registry().status()
    Output(json=json).result([status.to_json() for status in found], plugins_table(found))
