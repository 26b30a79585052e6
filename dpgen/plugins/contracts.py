"""Is what a registration hook returned fit to be used? Every refusal says how to mend it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from dpgen import API_VERSION
from dpgen.errors import DuplicateName, PluginLoadError, PluginVersionError
from dpgen.plugins.kinds import GENERATOR, Kind

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def checked_classes(plugin: str, kind: Kind[Any], returned: object) -> dict[str, type]:
    """The classes that the hook of `kind` returned, by name, once each fulfils the contract of `kind`.

    Raises: `PluginLoadError` for anything but a list or tuple of concrete, well-named classes of the contract;
    `PluginVersionError` for a generator that was written for another version of the interface; `DuplicateName` for
    two classes of one name.
    """
    if not isinstance(returned, Sequence) or isinstance(returned, str):
        raise PluginLoadError(
            plugin,
            f"{kind.hook} must return a list of classes; found {_describe(returned)}",
            f"Write `return [Your{kind.class_name}]` in it.",
        )
    classes: dict[str, type] = {}
    for item in returned:
        cls = _checked_contract(plugin, kind, item)
        name = _checked_name(plugin, kind, cls)
        if kind is GENERATOR:
            _check_version(plugin, cls)
        if name in classes:
            raise duplicate_name(kind, name, [(plugin, classes[name]), (plugin, cls)])
        classes[name] = cls
    return classes


def duplicate_name(kind: Kind[Any], name: str, owners: Sequence[tuple[str, type]]) -> DuplicateName:
    """The error for a name that several (plugin, class) pairs claim; it names them all."""
    claims = [f"plugin {plugin!r} ({cls.__module__}.{cls.__qualname__})" for plugin, cls in owners]
    return DuplicateName(kind.name, name, claims)


def _checked_contract(plugin: str, kind: Kind[Any], cls: object) -> type:
    contract = kind.contract
    if not inspect.isclass(cls):
        what = type(cls).__name__
        mend = f"Return the class `{what}` itself, not an object made from it."
        raise PluginLoadError(plugin, f"{kind.hook} must return classes; found an object of type {what}", mend)
    if not issubclass(cls, contract):
        mend = f"Let {cls.__name__} extend {kind.module}.{kind.class_name}, or return it from the hook of its own kind."
        raise PluginLoadError(plugin, f"{kind.hook} must return {kind.class_name} classes; found {cls.__name__}", mend)
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        reason = f"{kind.hook} must return concrete classes; {cls.__name__} does not define {missing}"
        raise PluginLoadError(plugin, reason, f"Define {missing} in {cls.__name__}.")
    return cls


def _checked_name(plugin: str, kind: Kind[Any], cls: type) -> str:
    name = getattr(cls, "name", None)
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise PluginLoadError(
        plugin,
        f"the name of {kind.name} class {cls.__name__} must match {_NAME.pattern}; found {name!r}",
        f'Set a class attribute such as `name = "{_suggest_name(cls)}"` in {cls.__name__}.',
    )


def _check_version(plugin: str, cls: type) -> None:
    found = getattr(cls, "api_version", None)
    if isinstance(found, bool) or not isinstance(found, int):
        reason = f"api_version of generator class {cls.__name__} must be an integer; found {found!r}"
        raise PluginLoadError(plugin, reason, f"Set `api_version = {API_VERSION}` in {cls.__name__}.")
    if found != API_VERSION:
        raise PluginVersionError(plugin, found=found, expected=API_VERSION)


def _suggest_name(cls: type) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower().lstrip("_")


def _describe(value: object) -> str:
    if value is None:
        return "None"
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
