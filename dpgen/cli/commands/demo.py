"""`dpgen demo`: the whole thing on embedded images, in minutes and without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from dpgen.cli.commands.options import Json, Overrides, Quiet


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    epsilon: Annotated[Optional[float], typer.Option(help="The budget; default 10.")] = None,  # noqa: UP045
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a demo that was stopped.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run PrivImage on embedded images: handwritten digits play the private ones, printed glyphs are public."""
    from dpgen.cli.output import Output
    from dpgen.cli.running import run_and_show
    from dpgen.config import preset

    budget = [] if epsilon is None else [f"privacy.epsilon={epsilon}"]
    changed = [*budget, *(overrides or []), f"run.output={out}"]
    output = Output(json=json, quiet=quiet)
    run_and_show(lambda: preset("demo", changed), output, resume=resume, origin="preset demo")
