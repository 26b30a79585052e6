"""Ask one plugin for its classes of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpgen import API_VERSION
from dpgen.errors import PluginError
from dpgen.plugins.contracts import checked_classes
from dpgen.plugins.discovery import Origin
from dpgen.plugins.failures import load_error
from dpgen.plugins.hooks import PluginHooks
from dpgen.plugins.kinds import Kind


@dataclass(frozen=True, slots=True)
class Registration:
    """What one plugin brought of one kind: classes by name, or an `error` and the names that are `lost` by it."""

    classes: Mapping[str, type] = field(default_factory=dict)
    error: PluginError | None = None
    lost: tuple[str, ...] = ()


def ask(hooks: PluginHooks, plugin: str, kind: Kind[Any], origin: Origin) -> Registration:
    """All classes of `kind` that the plugin registers, or the reason why none of them may be used. Never raises."""
    returned: object = ()
    try:
        answers = hooks.call(plugin, kind.hook, api_version=API_VERSION)
        if not answers and kind.hook not in hooks.implemented(plugin):
            return Registration()
        returned = answers[0] if answers else None
        return Registration(checked_classes(plugin, kind, returned))
    except PluginError as error:
        return Registration(error=error, lost=_names(returned))
    except Exception as error:
        refused = load_error(plugin, kind.hook, error, distribution=origin.distribution, requires=origin.requires)
        return Registration(error=refused)


def _names(returned: object) -> tuple[str, ...]:
    items = returned if isinstance(returned, list | tuple) else ()
    names = (getattr(item, "name", None) for item in items)
    return tuple(name for name in names if isinstance(name, str))
