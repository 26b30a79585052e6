"""The hooks of all plugins, each plugin kept apart: one that is broken or raises takes no other down."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Hashable
from typing import cast, final

import pluggy

from dpgen.errors import PluginError, PluginLoadError
from dpgen.plugins import hookspecs

_PAGE = "docs/reference/hooks.md lists every hook with its arguments."


@final
class PluginHooks:
    """Plugins by name, and their hooks one plugin at a time; the thin layer between dpgen and pluggy."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def add(self, name: str, plugin: object) -> None:
        """Let `plugin` in.

        Raises: `PluginLoadError` for a misspelt, unmarked or wrongly declared hook, or none at all; nothing of the
        plugin stays behind then.
        """
        if self._manager.has_plugin(name):
            raise PluginLoadError(name, "a plugin of this name is already in", "Give it another name.")
        if not isinstance(plugin, Hashable):  # pluggy keeps plugins in sets: one such object would stop all the others
            raise PluginLoadError(name, f"it is a {type(plugin).__name__}", "Let the entry point name a module.")
        try:
            self._manager.register(plugin, name)
            self._check(name, plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            self.remove(name)
            raise PluginLoadError(name, " ".join(str(error).split()), f"Mend the plugin: {_PAGE}") from error
        except PluginError:
            self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """Take every hook of the plugin out; nothing happens when there is none of that name."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def names(self) -> tuple[str, ...]:
        """The plugins that are in, in order of names."""
        return tuple(sorted(name for name, _ in self._manager.list_name_plugin()))

    def implemented(self, name: str) -> tuple[str, ...]:
        """The hooks that the plugin implements; none when there is no plugin of that name."""
        plugin = self._manager.get_plugin(name)
        callers = [] if plugin is None else self._manager.get_hookcallers(plugin) or []
        return tuple(sorted(caller.name for caller in callers))

    def call(self, name: str, hook: str, **arguments: object) -> tuple[object, ...]:
        """What the one plugin `name` answers to `hook`: one value, or none when it returned None or lacks the hook.

        A plain call asks every plugin and loses all answers when one raises, so all others are set aside for it.
        """
        plugin = self._manager.get_plugin(name)
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        caller = self._manager.subset_hook_caller(hook, others)
        return tuple(cast("list[object]", caller(**arguments)))

    def _check(self, name: str, plugin: object) -> None:
        unmarked = [attribute for attribute in dir(plugin) if self._is_unmarked(plugin, attribute)]
        if unmarked:
            reason = f"{', '.join(unmarked)} looks like a hook but is not marked as one"
            raise PluginLoadError(name, reason, "Write `@dpgen.hookimpl` above it.")
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginLoadError(name, *self._misspelt(plugin)) from error
        if not self.implemented(name):
            raise PluginLoadError(name, "it implements no hook", f"Point its entry point at the right module; {_PAGE}")

    def _is_unmarked(self, plugin: object, attribute: str) -> bool:
        return (
            attribute.startswith(f"{hookspecs.PROJECT}_")
            and inspect.isroutine(getattr(plugin, attribute))
            and self._manager.parse_hookimpl_opts(plugin, attribute) is None
        )

    def _misspelt(self, plugin: object) -> tuple[str, str]:
        callers = self._manager.get_hookcallers(plugin) or []
        known = [hook for hook in vars(hookspecs) if hook.startswith(f"{hookspecs.PROJECT}_")]
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        close = [match for hook in unknown for match in difflib.get_close_matches(hook, known, n=1, cutoff=0.0)]
        return f"unknown hook {', '.join(unknown)}", f"Did you mean {', '.join(close)}? {_PAGE}"
