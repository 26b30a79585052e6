"""Starting configurations, schemas and what is in force: written from the models, for each registered method."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from dpgen.cli.app import app
from dpgen.config import from_toml, load, overridden, preset, presets, validated
from dpgen.config.starting import starting_toml
from dpgen.config.whole import effective, inline, plain_toml, schema
from dpgen.errors import ConfigError, StorageError, UnknownName
from dpgen.pipeline import prepare
from dpgen.plugins.registry import default_registry

METHODS = default_registry().generators()
LIVE = {"privacy": {"epsilon": 3}, "data": {"private": "digits"}, "run": {"name": "x"}}


def settings_of(method: str) -> type[BaseModel]:
    return default_registry().generator(method).Config


@pytest.mark.parametrize("method", METHODS)
def test_a_start_is_a_configuration_and_its_defaults_are_the_defaults(method: str) -> None:
    text = starting_toml(method, settings_of(method), LIVE | {"method": {"name": method}})
    config = from_toml(text)
    assert config.method.settings == {}
    with_defaults = re.sub(r"^#(?=[\[a-z])(?!.*= \.\.\.$)", "", text, flags=re.MULTILINE)
    uncommented = tomllib.loads(with_defaults)["method"]
    assert uncommented.pop("name") == method
    assert settings_of(method).model_validate(uncommented) == settings_of(method)()
    assert from_toml(with_defaults).model_dump(exclude={"method"}) == config.model_dump(exclude={"method"})
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("method", METHODS)
def test_the_schema_knows_the_methods_own_settings(method: str) -> None:
    found = schema(method, settings_of(method))
    own = found["$defs"]["MethodConfig"]["properties"]
    assert set(own) == {"name", *settings_of(method).model_fields}
    assert own["name"]["const"] == method
    assert "budget" in found["$defs"]["PrivacyConfig"]["properties"]["epsilon"]["description"]


@pytest.mark.parametrize("name", presets())
def test_what_is_in_force_is_a_configuration_that_means_the_same(name: str) -> None:
    config = preset(name)
    kind = default_registry().generator(config.method.name)
    settings = validated(kind.Config, config.method.settings, name="x")
    again = from_toml(plain_toml(effective(config, settings)))
    assert again.model_dump(exclude={"method"}) == config.model_dump(exclude={"method"})
    assert validated(kind.Config, again.method.settings, name="x") == settings
    assert set(again.method.settings) == {key for key in kind.Config.model_fields if getattr(settings, key) is not None}


def test_values_on_one_line() -> None:
    value = {"a": [1, 2.5, True], "b": 'x "y"\n', "c": {}}
    assert tomllib.loads(f"v = {inline(value)}")["v"] == value
    assert "\n" not in inline(value)


class Inner(BaseModel):
    steps: int = 1
    views: int = 1


class Outer(BaseModel):
    inner: Inner = Field(default_factory=lambda: Inner(views=4))


def test_a_table_given_in_part_keeps_the_rest_of_the_methods_default() -> None:
    assert validated(Outer, {"inner": {"steps": 9}}, name="x").inner == Inner(steps=9, views=4)
    assert validated(Outer, {}, name="x").inner.views == 4
    with pytest.raises(ConfigError, match=r"inner\.steps"):
        validated(Outer, {"inner": {"steps": "many"}}, name="x")
    with pytest.raises(ConfigError, match="inner"):
        validated(Outer, {"inner": 3}, name="x")


def test_init_writes_a_file_that_plans_and_never_replaces_one(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    arguments = ["config", "init", "dpdm", "--out", str(file), "--set", "privacy.epsilon=2"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    config = load(file)
    assert config.privacy.epsilon == 2
    assert prepare(config, default_registry()).prices
    assert isinstance(CliRunner().invoke(app, arguments).exception, StorageError)


def test_own_images_get_no_test_split_of_others() -> None:
    shown = CliRunner().invoke(
        app, ["config", "init", "privimage", "--set", "data.private=mine", "--set", "data.size=8"]
    )
    data = tomllib.loads(shown.stdout)["data"]
    assert data == {"private": "mine", "public": "glyphs", "size": 8}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["init", "privimge"], UnknownName, "Did you mean 'privimage'"),
        (["init", "dpdm", "--set", "method.fintune.steps=3"], ConfigError, "Did you mean 'finetune'"),
        (["schema", "dpmd"], UnknownName, "Did you mean 'dpdm'"),
        (["show", "--preset", "dmo"], ConfigError, "Did you mean 'demo'"),
        (["show", "--preset", "demo", "--set", "method.qery.votes=3"], ConfigError, "preset demo has 1 error"),
    ],
)
def test_what_is_misspelt_is_named(arguments: list[str], error: type[Exception], said: str) -> None:
    refused = CliRunner().invoke(app, ["config", *arguments]).exception
    assert isinstance(refused, error)
    assert said in str(refused)


def test_show_takes_overrides() -> None:
    shown = CliRunner().invoke(
        app, ["config", "show", "--preset", "demo", "--set", "run.count=7"], env={"COLUMNS": "40"}
    )
    assert tomllib.loads(shown.stdout)["run"]["count"] == 7


def test_overrides_change_tables_in_place() -> None:
    assert overridden({}, ["a.b.c=3"]) == {"a": {"b": {"c": 3}}}
