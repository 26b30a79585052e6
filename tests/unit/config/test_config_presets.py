"""Presets: every cell of data sets x methods x scales parses and plans, and `paper` has the published settings."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from dpgen.accountants import Accountant, Bound, GdpAccountant, RdpAccountant
from dpgen.cli.app import app
from dpgen.config import from_toml, preset, presets, validated
from dpgen.config.presets import ALIASES, SCALES, laid_over, parsed, preset_data, preset_methods
from dpgen.data.sources.named import NAMED
from dpgen.errors import ConfigError
from dpgen.events import DpEvent
from dpgen.pipeline import Prepared, prepare
from dpgen.plugins.registry import default_registry

CELLS = tuple(name for name in presets() if name not in ALIASES)
FOLDER = Path(str(resources.files("dpgen") / "presets"))
PRICES: dict[object, Bound] = {}


@cache
def planned(name: str) -> Prepared:
    return prepare(preset(name), default_registry(), data_at_hand=False)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plans in a moment: each price is computed once, however many cells ask for it, and weights are left out."""
    for accountant in (RdpAccountant, GdpAccountant):
        for method in ("epsilon", "delta"):
            monkeypatch.setattr(accountant, method, remembered(getattr(accountant, method)))
    with torch.device("meta"):
        yield


def remembered(price: Callable[..., Bound]) -> Callable[..., Bound]:
    def ask(self: Accountant, event: DpEvent, **settings: Any) -> Bound:
        key = (price, event, *settings.items())
        if key not in PRICES:
            PRICES[key] = price(self, event, **settings)
        return PRICES[key]

    return ask


def test_each_cell_is_there():
    assert len(preset_data()) >= 10
    assert set(default_registry().generators()) >= {preset(cell).method.name for cell in CELLS}
    for method in preset_methods():
        offered = {parsed(name).scale for name in CELLS if parsed(name).method == method}
        assert {f"{data}/{method}/{scale}" for data in preset_data() if data != "digits" for scale in offered} <= set(
            CELLS
        )


@pytest.mark.parametrize("data", preset_data())
def test_each_cell_parses_and_names_its_parts(data: str):
    for cell in (name for name in CELLS if name.startswith(f"{data}/")):
        config = preset(cell)
        kind = default_registry().generator(config.method.name)
        validated(kind.Config, config.method.settings, name=cell, under=("method",))
        assert config.run.name == cell.replace("/", "-")
        assert config.privacy.epsilon == 10
        low = preset(f"{cell}/1")
        validated(kind.Config, low.method.settings, name=f"{cell}/1", under=("method",))
        assert low.privacy.epsilon == 1


@pytest.mark.parametrize("data", [*preset_data()])
def test_each_cell_can_be_planned(cheap: None, data: str):
    """By Rényi divergence, the fastest accountant: whether a plan can be made does not hang on who prices it."""
    for cell in (name for name in CELLS if name.startswith(f"{data}/")):
        config = preset(cell, ["privacy.accountant=rdp"])
        assert prepare(config, default_registry(), data_at_hand=False).prices[-1].cumulative_epsilon <= 10


@pytest.mark.parametrize(
    ("cell", "records", "batches", "steps", "views", "multipliers"),
    [
        ("mnist/dpdm", 55_000, 14, 2100, 32, [2, 2]),
        ("fashion_mnist/privimage", 55_000, 14, 2100, 32, [2, 2]),
        ("cifar10/pdp_diffusion", 45_000, 11, 1650, 32, [2, 4]),
        ("cifar100/privimage", 45_000, 11, 1650, 32, [2, 4]),
        ("eurosat/dp_feta", 21_000, 6, 900, 32, [2, 4]),
        ("celeba_male_32/privimage", 145_064, 36, 3600, 32, [2, 4]),
        ("celeba_male_64/privimage", 145_064, 36, 3600, 16, [1, 2, 4]),
        ("celeba_male_128/privimage", 145_064, 36, 1800, 4, [1, 2, 4]),
        ("celeba_male_64/dpdm", 145_064, 36, 3600, 4, [2, 4]),
        ("celeba_male_128/dpdm", 145_064, 36, 3600, 4, [2, 4]),
        ("celeba_male_64/pdp_diffusion", 145_064, 36, 1800, 16, [1, 2, 4]),
        ("celeba_male_128/pdp_diffusion", 145_064, 36, 1800, 4, [1, 2, 4]),
        ("celeba_male_64/dp_feta", 145_064, 36, 3600, 4, [1, 2, 4]),
        ("celeba_male_128/dp_feta", 145_064, 36, 3600, 4, [1, 2, 4]),
        ("camelyon/dpdm", 269_538, 66, 3300, 32, [2, 4]),
        ("mnist/dp_ldm", 55_000, 14, 2100, 1, [1, 2]),
        ("cifar10/dp_lora", 45_000, 11, 1650, 8, [1, 2, 2]),
    ],
)
def test_paper_has_the_published_settings(
    cell: str, records: int, batches: int, steps: int, views: int, multipliers: list[int]
):
    """Batch, steps, views, clip norm and network of the benchmark (arXiv 2503.14681 and its configurations)."""
    config = preset(f"{cell}/paper")
    training = config.method.settings["finetune"]
    assert config.data.records == records
    assert config.data.private.endswith(f"[:{records}]")
    assert training["expected_batch"] / records == pytest.approx(1 / batches, rel=1e-14)
    assert (training["steps"], training["views"], training["clip_norm"]) == (steps, views, 1e-3)
    assert config.method.settings["network"]["multipliers"] == multipliers
    assert config.run.count == 60_000


@pytest.mark.parametrize(
    ("cell", "low", "high"),
    [
        ("mnist/dpdm", 14.55, 1.994),
        ("mnist/privimage", 14.608, 1.994),
        ("cifar10/dpdm", 16.25, 2.205),
        ("cifar10/privimage", 16.309, 2.205),
        ("eurosat/dpdm", 21.10, 2.839),
        ("celeba_male_32/dpdm", 7.80, 1.200),
        ("camelyon/dpdm", 4.25, 0.839),
        ("mnist/dp_feta", 14.94, 1.994),
        ("cifar10/dp_feta", 16.90, 2.206),
        ("mnist/feta_pro", 14.78, 1.999),
        ("cifar10/feta_pro", 16.46, 2.211),
    ],
)
def test_paper_has_the_published_noise(cell: str, low: float, high: float):
    """Within one unit of the last published digit; the FETA methods have none at 10, so ours must only stay."""
    for epsilon, published in ((1, low), (10, high)):
        found = planned(f"{cell}/paper/{epsilon}").prices[-1].noise_multiplier
        assert found == pytest.approx(published, abs=max(1e-3, 1e-3 * published) if published < 10 else 6e-3)


def test_facts_of_a_named_set_are_those_of_its_source():
    for name in preset_data():
        config = preset(f"{name}/dpdm/demo")
        if config.data.private.partition("[")[0] in NAMED:
            facts = NAMED[config.data.private.partition("[")[0]]
            whole = tomllib.loads((FOLDER / "data" / f"{name}.toml").read_text())["all"]["data"]
            assert (tuple(whole["classes"]), whole["records"]) == (facts.class_names, facts.records)


def test_every_file_is_used_and_has_known_tables():
    tables = {"all", "groups", "scales", *SCALES, *(f"{scale}_low" for scale in SCALES)}
    names = {kind: {file.stem for file in (FOLDER / kind).glob("*.toml")} for kind in ("data", "methods", "groups")}
    headers = [tomllib.loads(file.read_text()) for file in FOLDER.glob("*/*.toml") if file.parent.name != "scales"]
    groups = {group for header in headers for group in header.get("groups", ())}
    for file in FOLDER.rglob("*.toml"):
        kind = file.relative_to(FOLDER).parts[0]
        if kind == "overlays":
            assert file.parent.name in names["data"] | groups, file
            assert file.stem in names["methods"] | names["groups"], file
        if kind not in ("base.toml", "scales"):
            assert set(tomllib.loads(file.read_text())) <= tables, file


def test_layers():
    assert laid_over({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert laid_over({"a": 1}, {"a": ""}) == {}
    assert laid_over({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert preset("mnist/dpdm/paper").data.public is None
    assert preset("demo").method.settings["query"]["classes_per_class"] == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mnist/privimge/cpu", "Did you mean 'mnist/privimage/cpu'"),
        ("dem", "Did you mean 'demo'"),
        ("mnist/privimage", "expected DATA/METHOD/SCALE"),
        ("digits/privimage/paper", "unknown preset"),
        ("mnist/privimage/cpu/lots", "expected a positive epsilon"),
        ("mnist/privimage/cpu/-1", "expected a positive epsilon"),
        ("../../data/mnist/x", "unknown preset"),
    ],
)
def test_what_is_misspelt_is_told(name: str, said: str):
    with pytest.raises(ConfigError, match=said):
        preset(name)


def test_the_command_line_lists_and_shows_them():
    listed = CliRunner().invoke(app, ["config", "presets", "cifar10/", "--json"])
    assert json.loads(listed.stdout) == [name for name in presets() if "cifar10/" in name]
    table = CliRunner().invoke(app, ["config", "presets"], env={"COLUMNS": "80"}).stdout
    assert "digits/privimage" in table
    assert max(map(len, table.splitlines())) <= 80
    shown = CliRunner().invoke(app, ["config", "show", "--preset", "mnist/privimage/paper/1"]).stdout
    assert from_toml(shown).data.records == 55_000
