"""The tutorial shows the files of the third-party test package, which other tests install and run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "third_party" / "dpgen_blur"
PAGE = (ROOT / "docs" / "tutorials" / "first-plugin.md").read_text()
BLOCKS = re.findall(r'^```\w+ title="(?P<file>[^"]+)"\n(?P<code>.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
WHOLE = ("pyproject.toml", "blur.toml", "dpgen_blur/__init__.py", "dpgen_blur/model.py")
"""What the reader types in full."""


def lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if line]


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_a_block_stands_in_the_file_that_its_title_names(block: int) -> None:
    file, code = BLOCKS[block]
    assert code in (PACKAGE / file).read_text()


@pytest.mark.parametrize("file", WHOLE)
def test_the_blocks_of_a_file_together_are_the_file(file: str) -> None:
    shown = [line for title, code in BLOCKS if title == file for line in lines(code)]
    assert shown == lines((PACKAGE / file).read_text())
