"""The page on methods has each kernel and evolution method, its charges and its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpgen.accountants import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.generators import Generator, Task
from dpgen.testing.conformance import TOY_INFO
from dpgen_plugins.evolution.examples import examples as evolution
from dpgen_plugins.kernel.examples import examples as kernel

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "methods.md").read_text()


@pytest.mark.parametrize("example", [*kernel(), *evolution()], ids=lambda example: example.name)
def test_each_method_has_its_row_with_its_charges_and_its_source(example: Generator) -> None:
    (row,) = re.findall(rf"^\| `{example.name}` \| \".*$", PAGE, flags=re.MULTILINE)
    plan = example.plan(Task(TOY_INFO, None, 4), Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE), RdpAccountant())
    assert [charge.label for charge in plan.charges] == re.findall(r'"([a-z0-9-]+)"', row.split("|")[2])
    paper = re.search(r"arXiv (\d{4}\.\d{5})", type(example).cites[0])
    assert (f"https://arxiv.org/abs/{paper.group(1)}" if paper else "https://openreview.net/forum?id=") in row
