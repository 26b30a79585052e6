"""The page of checks names every check with its rule, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpgen import Tags
from dpgen.testing.conformance.check import concerns
from dpgen.testing.conformance.selection import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "checks.md").read_text()
CHECKS = {check.__name__: check for _, _, checks in KINDS.values() for check in checks}
NO_TAGS = Tags(conditional=False, resumable=False)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_check_is_documented_by_its_rule(name: str) -> None:
    rule = " ".join((CHECKS[name].__doc__ or "").split())
    assert f"| `{name}` | {rule} |" in PAGE


def test_the_page_names_no_check_that_does_not_exist() -> None:
    assert set(re.findall(r"`(check_\w+)`", PAGE)) == set(CHECKS)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_the_tag_of_a_check_is_stated(name: str) -> None:
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    tag = re.search(r"\| `(\w+)` \|$", line)
    tags = Tags(**{"conditional": False, "resumable": False} | ({tag[1]: True} if tag else {}))
    assert concerns(CHECKS[name], tags)
    assert concerns(CHECKS[name], NO_TAGS) is (tag is None)
