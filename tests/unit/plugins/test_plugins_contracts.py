"""What a registration hook may return: each refusal names the plugin, what was found, and how to mend it."""

from __future__ import annotations

import re
from abc import abstractmethod
from types import ModuleType
from typing import Any

import pytest

import dpgen
from dpgen import Registry
from dpgen.accountants.base import Accountant, Bound
from dpgen.errors import DuplicateName, PluginLoadError, PluginVersionError
from dpgen.generators.base import Generator


def module(**members: Any) -> ModuleType:
    """A plugin module with these members."""
    made = ModuleType("plugin_under_test")
    vars(made).update(members)
    return made


class Free(Accountant):
    name = "free"
    kind = "approximation"
    adaptive = True

    def supports(self, event, *, relation):
        return True

    def epsilon(self, event, *, delta, relation):
        return Bound(0.0, 0.0, 0.0, self.kind)

    def delta(self, event, *, epsilon, relation):
        return Bound(0.0, 0.0, 0.0, self.kind)


class Unfinished(Free):
    @abstractmethod
    def tradeoff(self) -> None: ...


def generator_of(version: object) -> Any:
    members: dict[str, Any] = dict.fromkeys(Generator.__abstractmethods__, lambda self: None)
    return type("Pear", (Generator,), members | {"name": "pear", "api_version": version})


def registry_of(hook: str, returned: object) -> Registry:
    """A registry whose plugin `pear` returns `returned` from `hook`, beside a sound plugin `zebra`."""

    def answer() -> object:
        return returned

    answer.__name__ = hook
    sound = type("Sound", (Free,), {"name": "sound"})
    registry = Registry()
    registry.register(module(**{hook: dpgen.hookimpl(answer)}), name="pear")
    registry.register(module(dpgen_register_accountants=dpgen.hookimpl(lambda: [sound])), name="zebra")
    return registry


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "must return a list of classes; found None. Write `return [YourAccountant]` in it."),
        (Free, "must return a list of classes; found the class Free."),
        ("free", "must return a list of classes; found a str."),
        ([Free()], "must return classes; found an object of type Free. Return the class `Free` itself"),
        (["free"], "must return classes; found an object of type str."),
        ([int], "must return Accountant classes; found int. Let int extend dpgen.accountants.base.Accountant"),
        ([Unfinished], "Unfinished does not define tradeoff. Define tradeoff in Unfinished."),
        ([Free, Unfinished], "Unfinished does not define tradeoff."),
    ],
)
def test_a_wrong_answer_is_refused_with_the_mend(returned: object, message: str) -> None:
    registry = registry_of("dpgen_register_accountants", returned)
    with pytest.raises(PluginLoadError, match=f"plugin 'pear' is unusable.*{re.escape(message)}"):
        registry.accountant("pear")
    assert registry.accountants() == ("sound",)  # nothing of pear, everything of the other plugin


@pytest.mark.parametrize("name", ["", "Free", "9lives", "_free", "free-dom", "free dom", "naïve", None, 3])
def test_a_bad_name_is_refused_with_an_example(name: object) -> None:
    registry = registry_of("dpgen_register_accountants", [type("FreeLunch", (Free,), {"name": name})])
    with pytest.raises(PluginLoadError, match=r'FreeLunch must match .* found .*name = "free_lunch"'):
        registry.accountant("pear")


@pytest.mark.parametrize("name", ["a", "free", "gdp_clt", "v2"])
def test_good_names_pass(name: str) -> None:
    registry = registry_of("dpgen_register_accountants", [type("Good", (Free,), {"name": name})])
    assert name in registry.accountants()


@pytest.mark.parametrize("name", ["free", "pear"])
def test_asking_for_a_name_that_a_refused_hook_would_have_brought_gives_the_reason(name: str) -> None:
    registry = registry_of("dpgen_register_accountants", [Free, Unfinished])
    with pytest.raises(PluginLoadError, match="tradeoff"):
        registry.accountant(name)


@pytest.mark.parametrize(
    ("version", "mend"),
    [
        (dpgen.API_VERSION + 1, "a newer dpgen or an older pear"),
        (dpgen.API_VERSION - 1, "a newer pear or an older dpgen"),
    ],
)
def test_another_api_version_says_what_to_install(version: int, mend: str) -> None:
    registry = registry_of("dpgen_register_generators", [generator_of(version)])
    with pytest.raises(
        PluginVersionError, match=f"speaks API {version}, this dpgen speaks {dpgen.API_VERSION}.*{mend}"
    ):
        registry.generator("pear")
    assert registry.generators() == ()


@pytest.mark.parametrize("version", [None, "1", True, 1.0])
def test_an_api_version_that_is_no_integer_is_refused(version: object) -> None:
    registry = registry_of("dpgen_register_generators", [generator_of(version)])
    with pytest.raises(PluginLoadError, match=f"api_version .* Set `api_version = {dpgen.API_VERSION}` in Pear"):
        registry.generator("pear")


def test_a_generator_that_states_no_api_version_is_refused() -> None:
    silent = generator_of(1)
    del silent.api_version
    with pytest.raises(PluginLoadError, match=f"api_version .* Set `api_version = {dpgen.API_VERSION}` in Pear"):
        registry_of("dpgen_register_generators", [silent]).generator("pear")


def test_one_plugin_with_two_classes_of_one_name_is_refused() -> None:
    twin = type("Twin", (Free,), {"name": "free"})
    registry = registry_of("dpgen_register_accountants", [Free, twin])
    with pytest.raises(DuplicateName, match=r"accountant name 'free'.*Free\) and by plugin 'pear' .*Twin\)"):
        registry.accountant("free")
