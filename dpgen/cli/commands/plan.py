"""`dpgen plan`: what a run would charge, and the price, without opening any data."""

from __future__ import annotations

from dpgen.cli.commands.options import ConfigFile, Json, Overrides, Preset, configuration, origin


def plan(config: ConfigFile = None, preset: Preset = None, overrides: Overrides = None, json: Json = False) -> None:
    """Price a run before any private image is opened. Exit code 3 when the budget does not suffice."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import plan_table
    from dpgen.pipeline import prepare
    from dpgen.plugins.registry import default_registry

    chosen = configuration(config, preset, overrides or [])
    prepared = prepare(chosen, default_registry(), data_at_hand=False, origin=origin(config, preset))
    Output(json=json).result(prepared.to_json(), plan_table(prepared))
