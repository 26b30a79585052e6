"""`dpgen report`: the pages of a finished run, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpgen.cli.commands.options import Json


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or its release folder.")],
    json: Json = False,
) -> None:
    """Rebuild the reports and the data card of a finished run from its record. Opens no data; costs nothing."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import facts_table
    from dpgen.pipeline.rebuilding import rebuild_pages

    pages = rebuild_pages(run)
    data = [{"page": str(page.path), "changed": page.changed} for page in pages]
    shown = {str(page.path.relative_to(run)): "written" if page.changed else "unchanged" for page in pages}
    Output(json=json).result(data, facts_table(shown))
