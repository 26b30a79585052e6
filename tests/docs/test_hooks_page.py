"""Each hook has a heading on the hooks page that repeats its signature, and a test of its name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from dpgen.plugins import hookspecs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "hooks.md").read_text()
TESTS = (ROOT / "tests" / "unit" / "plugins" / "test_plugins_hooks.py").read_text()
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("dpgen_")}


def heading(name: str) -> str:
    return f"## {name}({', '.join(inspect.signature(HOOKS[name]).parameters)})"


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hook_is_documented_with_its_signature(name: str) -> None:
    assert heading(name) in PAGE.splitlines()


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hook_has_a_test_of_its_name(name: str) -> None:
    assert f"def test_hook_{name}(" in TESTS


def test_the_page_documents_no_hook_that_does_not_exist() -> None:
    assert set(re.findall(r"^## (dpgen_.*)$", PAGE, re.MULTILINE)) == {heading(name)[3:] for name in HOOKS}
