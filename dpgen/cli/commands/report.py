"""`dpgen report`: the pages of finished runs, written again; or one table over them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from dpgen.cli.commands.options import Json

_PAGES = "pages"


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or release folders.", metavar="RUN...")],
    form: Annotated[
        str, typer.Option("--format", help="pages: write them again. markdown, latex or json: print one table.")
    ] = _PAGES,
    scores: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Scores that the table shows, comma-separated; default: all there are."),
    ] = None,
    json: Json = False,
) -> None:
    """Rebuild reports and data cards from their records, or tabulate several runs. Opens no data; costs nothing."""
    from dpgen.errors import ConfigError
    from dpgen.report.tables import FORMS

    if form == _PAGES:
        _rebuild(runs, json=json)
        return
    if form not in FORMS or json:
        forms = ", ".join((_PAGES, *FORMS))
        found = f"{form!r} with --json" if form in FORMS else repr(form)
        raise ConfigError(f"--format is one of {forms}, --json only with {_PAGES}; found {found}. Choose one of them.")
    _tabulate(runs, form, None if scores is None else [name.strip() for name in scores.split(",")])


def _rebuild(runs: list[Path], *, json: bool) -> None:
    from dpgen.cli.output import Output
    from dpgen.cli.tables import facts_table
    from dpgen.pipeline.rebuilding import rebuild_pages

    pages = [page for run in runs for page in rebuild_pages(run)]
    data = [{"page": str(page.path), "changed": page.changed} for page in pages]
    shown = {str(page.path): "written" if page.changed else "unchanged" for page in pages}
    Output(json=json).result(data, facts_table(shown))


def _tabulate(runs: list[Path], form: str, scores: list[str] | None) -> None:
    from dpgen.cli.output import Output
    from dpgen.pipeline.tabulating import has_private_scores, measured
    from dpgen.report.tables import rendered, rows_of

    found, output = [measured(run) for run in runs], Output()
    output.result({}, rendered(rows_of(found), form, scores=scores))
    if has_private_scores(found):
        output.note("The scores were computed on private images. They are no part of any release.")
