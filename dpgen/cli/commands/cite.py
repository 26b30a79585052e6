"""`dpgen cite`: whom to thank in a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from dpgen.cli.commands.options import Json

if TYPE_CHECKING:
    from dpgen.plugins.citations import Citation
    from dpgen.plugins.registry import Registry


def cite(
    what: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            help="A run folder or run.json, or registered names.", metavar="[RUN|NAME]...", show_default=False
        ),
    ] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print BibTeX alone, for a .bib file.")] = False,
    json: Json = False,
) -> None:
    """Print the references of what a run used, or of methods, accountants, metrics and mechanisms by name."""
    from dpgen.cli.cite_tables import references
    from dpgen.cli.output import Output
    from dpgen.plugins.registry import default_registry

    found = _found(what or [], default_registry())
    entries = "\n\n".join(citation.bibtex for citation in found)
    shown = (entries,) if bibtex else (references(found), "\n" + entries)
    Output(json=json).result([citation.to_json() for citation in found], *shown)


def _found(what: list[str], registry: Registry) -> tuple[Citation, ...]:
    """The references of all that is asked for, each once. A registered name wins over a folder of that name."""
    from dpgen.plugins.citations import Claim, citations, claims_of_name, claims_of_run, known_names
    from dpgen.verification.evidence import gather

    claims: list[Claim] = []
    names = known_names(registry)
    for item in what:
        if item not in names and Path(item).exists():
            claims += claims_of_run(gather(Path(item)).record, registry)
        else:
            claims += claims_of_name(item, registry)
    return citations(claims)
