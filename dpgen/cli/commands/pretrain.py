"""`dpgen pretrain`: weights of public images alone, to be used for any private set and any budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpgen.cli.commands.options import ConfigFile, Json, Overrides, Preset, Quiet, configuration, origin


def pretrain(
    output: Annotated[Path, typer.Option(help="Folder for the weights: a new one, or one where this was stopped.")],
    config: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train what a method trains on public images, and keep it. Opens no private image, needs no budget."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import facts_table
    from dpgen.distributed import joined
    from dpgen.pipeline.pretraining import pretrain_in
    from dpgen.plugins.registry import default_registry

    with joined() as world:
        shown = Output(json=json, quiet=quiet) if world.is_first else Output(silent=True)
        settings = world.attempt(lambda: configuration(config, preset, overrides or []))
        with shown.progress({}) as progress:
            manifests = pretrain_in(
                world,
                settings,
                output,
                registry=default_registry(),
                progress=progress,
                origin=origin(config, preset),
            )
    facts: dict[str, object] = {part.part: output / f"{part.part}.safetensors" for part in manifests}
    shown.result([part.to_json() for part in manifests], facts_table(facts | {"privacy cost": 0}))
