"""The application: its commands, and what becomes of errors and interrupts. Imports stay inside the commands."""

from __future__ import annotations

import sys

import typer

from dpgen.cli.commands.account import account
from dpgen.cli.commands.audit import audit
from dpgen.cli.commands.bench import bench
from dpgen.cli.commands.check import check
from dpgen.cli.commands.cite import cite
from dpgen.cli.commands.config import config
from dpgen.cli.commands.data import data
from dpgen.cli.commands.demo import demo
from dpgen.cli.commands.doctor import doctor
from dpgen.cli.commands.evaluate import evaluate
from dpgen.cli.commands.plan import plan
from dpgen.cli.commands.plugins import plugins
from dpgen.cli.commands.pretrain import pretrain
from dpgen.cli.commands.report import report
from dpgen.cli.commands.run import run
from dpgen.cli.commands.sample import sample
from dpgen.cli.commands.verify import verify
from dpgen.cli.failures import Interrupted, exit_code, interruptible, show

app = typer.Typer(
    name="dpgen",
    help="Differentially private synthetic images: one command turns private images into ones that may be shared.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_PANELS = {
    "Make images": (demo, plan, pretrain, run, sample),
    "Look at what was made": (evaluate, report, bench, cite),
    "Doubt it": (account, verify, audit, check),
    "This installation": (plugins, doctor),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(config, name="config", rich_help_panel="Make images")
app.add_typer(data, name="data", rich_help_panel="Make images")


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error. It may quote private values."),
) -> None:
    """Options of all commands; `--debug` is read in `main`, after the command has failed."""


def main() -> None:
    """Run the command line and leave the process with its exit code: 0, 1, 2 (usage), 3 (over budget), 130, 143."""
    debug = "--debug" in sys.argv[1:2]
    try:
        with interruptible():
            app(prog_name="dpgen")
    except (Exception, Interrupted) as error:
        if debug:
            raise
        show(error)
        sys.exit(exit_code(error))
