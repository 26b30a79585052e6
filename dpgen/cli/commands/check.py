"""`dpgen check`: does every class of a plugin keep the promises of its contract?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from dpgen.cli.commands.options import Json


def check(
    package: Annotated[str, typer.Argument(help="An installed plugin by its name, or a module to import.")],
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="TOML configuration of a run: its table `method` has the settings of the generator that it names."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a plugin on made-up data: its generators, mechanisms, accountants and metrics. Exit code 1 on a failure."""
    import torch

    from dpgen.cli.conformance_tables import conformance_table
    from dpgen.cli.output import Output
    from dpgen.config import load
    from dpgen.testing.conformance import check_package

    torch.set_num_threads(1)  # the runs are tiny: threads would wait for each other
    found = check_package(package, config=None if config is None else load(config))
    Output(json=json).result(found.to_json(), conformance_table(found))
    found.require()
