"""Options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from dpgen.config import Config


def presets_for_completion() -> list[str]:
    """What the shell offers behind --preset."""
    from dpgen.config import presets

    return list(presets())


def methods_for_completion() -> list[str]:
    """What the shell offers where a method is named."""
    from dpgen.plugins.registry import default_registry

    return list(default_registry().generators())


ConfigFile = Annotated[Optional[Path], typer.Argument(help="TOML configuration file.", show_default=False)]  # noqa: UP045
Preset = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="A configuration shipped with dpgen, such as demo.", autocompletion=presets_for_completion),
]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override one setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def configuration(file: Path | None, preset: str | None, overrides: list[str]) -> Config:
    """The configuration of a file or of a preset. Raises: `ConfigError` unless it is exactly one of the two."""
    from dpgen import config
    from dpgen.errors import ConfigError

    if (file is None) == (preset is None):
        raise ConfigError(
            "expected a configuration file or a preset; found "
            + ("neither" if file is None else "both")
            + ". Give a path, or a preset such as --preset demo; `dpgen config presets` lists them."
        )
    if preset is not None:
        return config.preset(preset, overrides)
    assert file is not None
    return config.load(file, overrides)


def origin(file: Path | None, preset: str | None) -> str:
    """What an error calls the configuration."""
    return str(file) if file is not None else f"preset {preset}"
