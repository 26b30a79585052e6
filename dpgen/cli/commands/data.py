"""`dpgen data`: the data sets that are known by name, where they are looked for, and fetching them."""

from __future__ import annotations

from typing import Annotated

import typer

from dpgen.cli.commands.options import Json, Quiet

data = typer.Typer(help="Show and fetch the data sets that are known by name.", no_args_is_help=True)


def sets_for_completion() -> list[str]:
    """What the shell offers where a data set is named."""
    from dpgen.data.sources.named.published import REMOTE

    return list(REMOTE)


@data.command(name="list")
def list_sets(json: Json = False) -> None:
    """List the data sets by name: sizes, classes, and whether they are on this machine. Nothing is fetched."""
    from rich.table import Table
    from rich.text import Text

    from dpgen.cli.output import Output
    from dpgen.data.sources.named import NAMED
    from dpgen.data.sources.named.place import data_folder
    from dpgen.data.sources.named.published import REMOTE, layouts

    folder = data_folder()
    rows = [
        {
            "name": facts.name,
            "title": facts.title,
            "records": facts.records,
            "test_records": facts.test_records,
            "classes": len(facts.class_names),
            "here": any(layout.find(folder, train=True) for layout in layouts(facts.name)),
            "can_be_fetched": facts.name in REMOTE,
            "origin": facts.origin,
        }
        for facts in NAMED.values()
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "images", "test", "classes", "here", "fetch"):
        table.add_column(column, justify="right" if column in ("images", "test", "classes") else "left")
    for row in rows:
        shown = (row["name"], row["records"], row["test_records"], row["classes"])
        table.add_row(*(Text(str(item)) for item in shown), *(_yes(row[key]) for key in ("here", "can_be_fetched")))
    Output(json=json).result({"folder": str(folder), "sets": rows}, table, f"looked for in {folder}")


@data.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Names of data sets.", autocompletion=sets_for_completion)],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch published files into the folder of data sets, each compared with its published checksum."""
    from dpgen.cli.output import Output
    from dpgen.data.sources.named.fetching import fetch as fetched

    output = Output(json=json, quiet=quiet)
    folders = {name: str(fetched(name, told=output.note)) for name in names}
    output.result(folders, *(f"{name}: {folder}" for name, folder in folders.items()))


def _yes(value: object) -> str:
    return "yes" if value else "-"
