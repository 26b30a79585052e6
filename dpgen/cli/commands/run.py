"""`dpgen run`: from a configuration to a finished run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from dpgen.cli.commands.options import ConfigFile, Json, Overrides, Preset, Quiet, configuration, origin


def run(
    config: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    out: Annotated[Optional[Path], typer.Option(help="The run folder; default runs/NAME.")] = None,  # noqa: UP045
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Turn private images into synthetic ones under the budget of the configuration."""
    from dpgen.cli.output import Output
    from dpgen.cli.running import run_and_show

    changed = [*(overrides or []), *([] if out is None else [f"run.output={out}"])]
    run_and_show(
        lambda: configuration(config, preset, changed),
        Output(json=json, quiet=quiet),
        resume=resume,
        origin=origin(config, preset),
    )
