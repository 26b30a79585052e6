"""Every code block of every page: commands parse, configurations are read, Python runs.

Blocks that other tests of this folder already run, and the reason why a block is not run, stand in the tables below; a
page that is in neither must run as it stands.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from dpgen.cli.app import app
from dpgen.config import Config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]

RUN_ELSEWHERE = {
    "docs/how-to/calibrate.md": "test_calibrate_page.py",
    "docs/how-to/dp-sgd-on-your-module.md": "test_dp_sgd_pages.py",
    "docs/how-to/price-an-event.md": "test_price_an_event_page.py",
    "docs/how-to/use-from-python.md": "test_use_from_python_page.py",
    "docs/reference/dp-sgd.md": "test_dp_sgd_pages.py",
    "docs/reference/hooks.md": "test_hooks_page.py",
    "docs/tutorials/first-plugin.md": "test_first_plugin_tutorial.py",
}
ONLY_PARSED = {
    "docs/how-to/check-your-plugin.md": "parts of the tutorial's package, which its own tests install and check",
    "docs/how-to/cite.md": "one attribute of a class",
    "docs/how-to/export-to-the-hub.md": "needs the Hub's library; test_report_card.py checks what that reads",
    "docs/how-to/verify-a-run.md": "needs a finished run; tests/unit/verification calls the same names",
    "docs/reference/events.md": "needs a training by Opacus; tests/oracle compares the two with its histories",
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each shell line of the pages, with the page: continued lines joined, environment and comments taken off."""
    for page in PAGES:
        for block in blocks(page, "(?:bash|console)"):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                for part in re.split(r" && | \| ", line.removeprefix("$ ")):
                    words = shlex.split(part, comments=True)
                    words = words[: words.index(">")] if ">" in words else words
                    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                        words = words[1:]
                    if words:
                        yield named(page), words


COMMANDS = list(commands())
DPGEN = sorted(
    {(page, tuple(words[1:])) for page, words in COMMANDS if Path(words[0]).name == "dpgen"}
    | {(page, tuple(words[words.index("dpgen") + 1 :])) for page, words in COMMANDS if words[0] == "torchrun"}
)
UsageError = typer.BadParameter.__mro__[1]  # typer brings its own copy of click, or uses click itself: by version
MODULES = sorted({(page, words[2]) for page, words in COMMANDS if Path(words[0]).name == "python" and words[1] == "-m"})


def parse(words: list[str]) -> None:
    """Walk from `dpgen` to the command and let it read its arguments, without calling it."""
    command = typer.main.get_command(app)
    context = command.make_context("dpgen", words or ["--help"])
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(("page", "words"), DPGEN)
def test_a_command_of_the_docs_is_one_that_dpgen_takes(page: str, words: tuple[str, ...]) -> None:
    try:
        parse(list(words))
    except typer.Exit:  # --help prints and leaves
        assert "--help" in words or not words, page
    except typer.BadParameter as refused:
        if "does not exist" not in refused.message:  # the reader's own files are not here
            raise


def test_the_parser_refuses_a_command_that_does_not_exist() -> None:
    with pytest.raises(UsageError):
        parse(["run", "my.toml", "--no-such-option"])
    with pytest.raises(UsageError):
        parse(["conjure"])


@pytest.mark.parametrize(("page", "module"), MODULES, ids=str)
def test_a_module_of_the_docs_is_there(page: str, module: str) -> None:
    missing = {"venv", "pip"} & {module}
    assert missing or importlib.util.find_spec(module) is not None, f"{page} names {module}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_configurations_of_a_page_are_read(page: Path) -> None:
    for block in blocks(page, "toml"):
        found = tomllib.loads(block)
        if "privacy" in found and "method" in found:
            Config.model_validate(found)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for block in blocks(page, "python"):
        if ">>>" not in block:
            ast.parse(textwrap.dedent(block))
        if named(page) not in RUN_ELSEWHERE.keys() | ONLY_PARSED.keys():
            exec(compile(block, named(page), "exec"), space)


def test_the_tables_name_pages_and_tests_that_exist() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert (ROOT / page).is_file()
        assert Path(page).name in (source := (Path(__file__).parent / test).read_text()) or Path(page).stem in source
    for page in ONLY_PARSED:
        assert blocks(ROOT / page, "python"), f"{page} has no Python: take it off the table"
