"""Names become classes: clashes, unknown names, plugins that raise, and what `dpgen plugins` shows."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import dpgen
from dpgen import Registry
from dpgen.accountants.base import Accountant, Bound
from dpgen.errors import DuplicateName, PluginLoadError, UnknownName


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


def named(name: str) -> Any:
    return type(name.title(), (Free,), {"name": name})


def accountants(answer: Callable[[], object]) -> ModuleType:
    return module(dpgen_register_accountants=dpgen.hookimpl(answer))


def explode() -> list[type]:
    raise RuntimeError("no license server")


def need_missing_module() -> list[type]:
    import module_that_nobody_has  # noqa: F401

    return []


def test_duplicate_names_raise_with_both_owners_and_spare_the_other_names() -> None:
    registry = Registry()
    registry.register(accountants(lambda: [Free, named("alone")]), name="first")
    registry.register(accountants(lambda: [named("free")]), name="second")
    with pytest.raises(
        DuplicateName, match=r"'free' is registered by plugin 'first' .* and by plugin 'second'"
    ) as caught:
        registry.accountant("free")
    assert len(caught.value.owners) == 2
    assert registry.accountants() == ("alone",)


def test_the_order_of_plugins_never_matters() -> None:
    plugins = {"a": accountants(lambda: [named("x")]), "b": accountants(lambda: [named("y")])}
    forward, backward = Registry(), Registry()
    for name in ("a", "b"):
        forward.register(plugins[name], name=name)
    for name in ("b", "a"):
        backward.register(plugins[name], name=name)
    assert forward.accountants() == backward.accountants() == ("x", "y")
    assert forward.status() == backward.status()


def test_a_plugin_that_raises_takes_no_other_down() -> None:
    registry = Registry()
    registry.register(accountants(explode), name="bomb")
    registry.register(accountants(lambda: [Free]), name="sound")
    assert registry.accountant("free") is Free
    with pytest.raises(PluginLoadError, match=r"'bomb' is unusable.*RuntimeError: no license server") as caught:
        registry.accountant("bomb")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_unknown_name_suggests_close_ones_and_names_the_broken_plugins() -> None:
    registry = Registry()
    registry.register(accountants(explode), name="bomb")
    registry.register(accountants(lambda: [Free]), name="sound")
    with pytest.raises(
        UnknownName, match=r"known: free. Did you mean 'free'\?.*missing because plugin 'bomb'.*license"
    ):
        registry.accountant("fre")


def test_an_unknown_name_without_broken_plugins_points_at_the_listing() -> None:
    with pytest.raises(UnknownName, match=r"unknown generator 'blur'; known: none. See `dpgen plugins`"):
        Registry().generator("blur")


def test_a_module_missing_inside_a_hook_is_named_with_its_pip_line() -> None:
    registry = Registry()
    registry.register(accountants(need_missing_module), name="needy")
    with pytest.raises(PluginLoadError, match=r"'module_that_nobody_has'.*`pip install module_that_nobody_has`"):
        registry.accountant("needy")


def test_only_the_hook_of_the_kind_asked_for_is_called_and_only_once() -> None:
    calls: list[str] = []
    plugin = accountants(lambda: calls.append("accountants") or [Free])
    plugin.dpgen_register_generators = dpgen.hookimpl(lambda: calls.append("generators") or [])
    registry = Registry()
    registry.register(plugin, name="mine")
    assert calls == []
    registry.accountant("free")
    registry.accountants()
    assert calls == ["accountants"]


def test_a_broken_hook_of_one_kind_leaves_the_other_kinds_of_its_plugin() -> None:
    plugin = accountants(lambda: [Free])
    plugin.dpgen_register_generators = dpgen.hookimpl(lambda: explode())
    registry = Registry()
    registry.register(plugin, name="mine")
    assert registry.generators() == ()
    assert registry.accountant("free") is Free


def test_status_shows_what_works_and_what_is_broken() -> None:
    registry = Registry()
    registry.register(accountants(lambda: [Free, named("alone")]), name="sound")
    registry.register(accountants(explode), name="bomb")
    bomb, sound = registry.status()
    assert (sound.name, sound.state, sound.ok) == ("sound", "ok", True)
    assert sound.hooks == ("dpgen_register_accountants",)
    assert sound.registered == {"accountants": ("alone", "free")}
    assert (bomb.name, bomb.ok, dict(bomb.registered)) == ("bomb", False, {})
    assert "no license server" in bomb.state
    assert bomb.to_json()["hooks"] == ["dpgen_register_accountants"]


def test_status_shows_a_clash_at_both_owners() -> None:
    registry = Registry()
    registry.register(accountants(lambda: [Free]), name="first")
    registry.register(accountants(lambda: [named("free")]), name="second")
    for status in registry.status():
        assert not status.ok
        assert "registered by plugin 'first'" in status.state
