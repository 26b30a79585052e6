"""Links between the pages, and to pictures and files, are alive; the commands shown exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from dpgen.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_are_alive(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    blocks = "".join(re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL))
    shown = re.findall(r"(?:^|/)dpgen ([a-z]+)", blocks, re.MULTILINE)
    assert set(shown) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_commands_exist(page: Path) -> None:
    named = re.findall(r"\b(benchmarks/configs/\S+?\.toml)", page.read_text())
    assert all((ROOT / name).exists() for name in named)
