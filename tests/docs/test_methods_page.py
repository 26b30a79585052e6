"""The page on methods has each diffusion method, GAN and DP-VAE, its charges, its source and its preset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpgen.accountants import RdpAccountant
from dpgen.budget import ADD_OR_REMOVE_ONE, Budget
from dpgen.config import preset
from dpgen.generators import Generator, PublicInfo, Task
from dpgen.pipeline.planning import prepare
from dpgen.plugins.registry import default_registry
from dpgen.testing.conformance import TOY_INFO
from dpgen_plugins.diffusion.examples import examples as diffusion
from dpgen_plugins.gan.examples import examples as gans
from dpgen_plugins.vae.dp_vae import DpVae
from dpgen_plugins.vae.examples import examples as vaes

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "methods.md").read_text()
EXAMPLES = [*diffusion(), *gans(), *(example for example in vaes() if isinstance(example, DpVae))]
METHODS = {type(example).name: type(example) for example in EXAMPLES}


def row(method: str) -> str:
    (found,) = re.findall(rf"^\| `{method}` \| \".*$", PAGE, flags=re.MULTILINE)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_its_row_with_its_own_paper(method: str) -> None:
    (paper,) = re.findall(r"arXiv (\d{4}\.\d{5})", METHODS[method].cites[0])
    assert f"https://arxiv.org/abs/{paper}" in row(method)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_charge_of_its_plan_is_in_its_row(example: Generator) -> None:
    task = Task(TOY_INFO, PublicInfo("toy", TOY_INFO.shape, ("v", "w", "x", "y", "z")), 4)
    plan = example.plan(task, Budget(8.0, 1e-3, ADD_OR_REMOVE_ONE), RdpAccountant())
    assert [charge.label for charge in plan.charges] == re.findall(r'"([a-z-]+)"', row(example.name).split("|")[2])


PRESETS = re.findall(r"^\| `([\w/]+/cpu)` \| `(\w+)`", PAGE, flags=re.MULTILINE)


def test_presets_are_listed() -> None:
    assert {method for _, method in PRESETS} >= {"pdp_diffusion", "dp_ldm", "dp_lora"}


@pytest.mark.parametrize(("name", "method"), PRESETS)
def test_each_preset_of_the_page_can_be_planned_without_data(name: str, method: str) -> None:
    config = preset(name, ["privacy.accountant=rdp"])
    assert config.method.name == method
    assert prepare(config, default_registry(), data_at_hand=False).plan["finetune"]
