"""`[compute]` is speed and memory: no setting of it reaches a plan, its price, or what a resumed run must share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgen.config import Config, from_toml
from dpgen.config.tables import ComputeConfig
from dpgen.pipeline.opening import fixed_settings
from dpgen.pipeline.planning import Prepared, prepare
from dpgen.plugins.registry import default_registry
from dpgen.testing.toy_run import toy_config

TINY = """
        network = { base = 4, multipliers = [1, 2] }
        finetune = { expected_batch = 20, steps = 30, views = 2 }"""
METHODS = {
    "privimage": f"{TINY}\n        query = {{ votes = 1 }}",
    "dpdm": TINY,
    "pdp_diffusion": TINY,
    "dp_ldm": f'{TINY}\n        space = "latent"',
    "dp_lora": TINY,
    "dp_feta": TINY,
    "feta_pro": TINY,
    "dp_merf": "",
    "dp_ntk": "",
    "dp_kernel": "",
    "pe": "",
    "gs_wgan": "",
    "lipschitz_vae": "\n        posterior = { draws = 20 }",
    "dp_vae": "\n        finetune = { expected_batch = 20, steps = 30, views = 2 }",
    "dpgan": "\n        finetune = { expected_batch = 20, steps = 30, views = 2 }",
}
BASE = """
[privacy]
epsilon = 8.0
accountant = "rdp"
[data]
private = "{folder}/private.npz"
public = "{folder}/public.npz"
records = 300
[run]
name = "tiny"
"""

Prepare = Callable[[Config], Prepared]

SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:1"]),
    "threads": st.none() | st.integers(1, 256),
    "physical_batch": st.just("auto") | st.integers(1, 10**6),
    "precision": st.sampled_from(["float32", "bfloat16"]),
    "channels_last": st.sampled_from(["auto", True, False]),
    "compile": st.booleans(),
}
COMPUTE = st.fixed_dictionaries({}, optional=SETTINGS)
"""Every setting of the table, each alone and with others."""


def honest(config: Config) -> Prepared:
    return prepare(config, default_registry())


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prepared]:
    """Every registered generator, planned under the default settings."""
    folder = tmp_path_factory.mktemp("data")
    toy_config(folder)  # writes the made-up images
    return {name: honest(config(folder, name)) for name in METHODS}


def config(folder: Path, method: str) -> Config:
    return from_toml(BASE.format(folder=folder) + f'[method]\nname = "{method}"{METHODS[method]}\n', ())


def law(plan: Prepare, before: Prepared, compute: dict[str, Any]) -> None:
    """The same plan, at the same price, and the same as far as resuming goes."""
    after = plan(before.config.model_copy(update={"compute": ComputeConfig(**compute)}))
    assert after.plan == before.plan
    assert after.prices == before.prices
    assert after.group == before.group
    assert fixed_settings(after, is_private=True) == fixed_settings(before, is_private=True)


def test_every_generator_and_every_setting_is_tried():
    assert set(METHODS) == set(default_registry().generators())
    assert set(SETTINGS) == set(ComputeConfig.model_fields)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(compute=COMPUTE)
def test_no_compute_setting_changes_plan_or_price(begun: dict[str, Prepared], method: str, compute: dict[str, Any]):
    law(honest, begun[method], compute)


def test_a_plan_that_reads_them_is_caught(begun: dict[str, Prepared]):
    """The broken twin: a precision that moves the budget, by one part in a million."""

    def leaky(config: Config) -> Prepared:
        share = 1 - 1e-6 * (config.compute.precision == "bfloat16")
        privacy = config.privacy.model_copy(update={"epsilon": config.privacy.epsilon * share})
        return honest(config.model_copy(update={"privacy": privacy}))

    law(leaky, begun["dpdm"], {})
    with pytest.raises(AssertionError):
        law(leaky, begun["dpdm"], {"precision": "bfloat16"})
