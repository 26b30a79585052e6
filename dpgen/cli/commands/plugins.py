"""`dpgen plugins`: what is installed, what it brings, and what is broken and how to mend it."""

from __future__ import annotations

import typer

from dpgen.cli.commands.options import Json


def plugins(
    json: Json = False,
    methods: bool = typer.Option(
        False, "--methods", help="Each generator instead: its charges, relations, level of assurance, reference."
    ),
    check: bool = typer.Option(
        False, "--check", help="With --methods: run the conformance kit for the level of assurance; takes minutes."
    ),
) -> None:
    """List the installed plugins: name, version, source, hooks, what each brings, and whether it works."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import plugins_table
    from dpgen.plugins.registry import default_registry

    registry = default_registry()
    if not methods:
        found = registry.status()
        Output(json=json).result([status.to_json() for status in found], plugins_table(found))
        return
    from dpgen.cli.method_tables import methods_table
    from dpgen.plugins.methods import method_facts

    facts = list(method_facts(registry))
    levels = _levels() if check else {}
    lines = [fact.to_json() | {"assurance": levels.get(fact.name, "not checked here")} for fact in facts]
    Output(json=json).result(lines, methods_table(facts, levels))


def _levels() -> dict[str, str]:
    """The level that each generator reaches in the conformance kit, by name."""
    from dpgen.plugins.registry import default_registry
    from dpgen.testing.conformance.packages import check_package

    reports = [
        check_package(status.name) for status in default_registry().status() if "generators" in status.registered
    ]
    return {one.name: str(one.level) for report in reports for one in report.classes if one.kind == "generator"}
