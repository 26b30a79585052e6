"""`dpgen config`: a configuration to start from, its schema, all that is in force, and the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from dpgen.cli.commands.options import (
    ConfigFile,
    Json,
    Overrides,
    Preset,
    configuration,
    methods_for_completion,
    origin,
)

if TYPE_CHECKING:
    from dpgen.generators.base import Generator

config = typer.Typer(help="Write, explain and show configurations.", no_args_is_help=True)

Method = Annotated[
    str, typer.Argument(help="A registered method, such as privimage.", autocompletion=methods_for_completion)
]


@config.command()
def init(
    method: Method,
    overrides: Overrides = None,
    out: Annotated[Optional[Path], typer.Option(help="The file to write; default: standard output.")] = None,  # noqa: UP045
) -> None:
    """Write a commented configuration to start from. It plans and runs as it is, on embedded images."""
    from dpgen.cli.output import Output
    from dpgen.config import overridden, validated
    from dpgen.config.starting import starting_toml
    from dpgen.config.tables import Config
    from dpgen.errors import StorageError
    from dpgen.plugins.registry import default_registry
    from dpgen.storage import write_atomically

    kind = default_registry().generator(method)
    live = overridden(_start(kind, overrides or []), overrides or [])
    chosen = validated(Config, live, name="the new configuration")
    validated(kind.Config, chosen.method.settings, name="the new configuration", under=("method",))
    text = starting_toml(method, kind.Config, live)
    if out is None:
        print(text, end="")
        return
    if out.exists():
        raise StorageError(f"expected a new file; {out} is there already. Choose another name, or remove it.")
    write_atomically(out, text.encode())
    Output().note(f"written: {out}\nNext: put your images under [data], then `dpgen plan {out}`.")


def _start(kind: type[Generator], overrides: list[str]) -> dict[str, Any]:
    """The least that runs: the embedded digits, and printed glyphs where the method needs public images."""
    data = {"private": "digits"}
    if not any(override.startswith("data.private") for override in overrides):
        data["test"] = "digits_test"
    if kind.tags.needs_public:
        data["public"] = "glyphs"
    return {
        "privacy": {"epsilon": 10.0, "delta": "auto", "relation": "add_or_remove_one"},
        "data": data,
        "method": {"name": kind.name},
        "run": {"name": f"my-{kind.name}".replace("_", "-")},
    }


@config.command()
def schema(method: Method) -> None:
    """Print the JSON schema of a configuration, the method's own settings included."""
    from dpgen.cli.output import Output
    from dpgen.config.whole import schema as schema_of
    from dpgen.plugins.registry import default_registry

    Output(json=True).result(schema_of(method, default_registry().generator(method).Config))


@config.command()
def show(file: ConfigFile = None, preset: Preset = None, overrides: Overrides = None, json: Json = False) -> None:
    """Print every setting in force, defaults included: a configuration again, that means the same."""
    from dpgen.cli.output import Output
    from dpgen.config import validated
    from dpgen.config.whole import effective, plain_toml
    from dpgen.plugins.registry import default_registry

    chosen = configuration(file, preset, overrides or [])
    kind = default_registry().generator(chosen.method.name)
    settings = validated(kind.Config, chosen.method.settings, name=origin(file, preset), under=("method",))
    whole = effective(chosen, settings)
    Output(json=json).result(whole, plain_toml(whole))


@config.command()
def presets(
    like: Annotated[str, typer.Argument(help="Only presets whose name contains this, such as mnist/.")] = "",
    json: Json = False,
) -> None:
    """List the shipped configurations, DATA/METHOD/SCALE. `dpgen config show --preset NAME` prints one whole."""
    from dpgen.cli.output import Output
    from dpgen.cli.preset_tables import presets_table
    from dpgen.config import presets as names

    found = [name for name in names() if like in name]
    Output(json=json).result(found, presets_table(found))
