"""`dpgen doctor`: is this installation fit to run, and if not, what mends it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpgen.cli.commands.options import Json


def doctor(
    out: Annotated[Path, typer.Option(help="Where runs are to be written.")] = Path("runs"),
    json: Json = False,
) -> None:
    """Examine this installation: torch, extras, entropy, disk, accountants, noise, plugins. Exit code 1 if broken."""
    from dpgen.cli.doctor.examination import examine
    from dpgen.cli.doctor.finding import State
    from dpgen.cli.doctor_tables import findings_table
    from dpgen.cli.output import Output
    from dpgen.plugins.registry import default_registry

    found = tuple(examine(out, default_registry()))
    healthy = all(finding.state is not State.BROKEN for finding in found)
    Output(json=json).result(
        {"healthy": healthy, "findings": [finding.to_json() for finding in found]}, findings_table(found)
    )
    if not healthy:
        raise typer.Exit(1)
