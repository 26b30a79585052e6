"""Find plugins by their entry points, one at a time, so that one that fails to import harms no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points

from dpgen.errors import DuplicateName, PluginError, PluginLoadError
from dpgen.plugins.failures import load_error
from dpgen.plugins.hookspecs import PROJECT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from: its distribution as pip names it, the version, the module file or the object.

    `requires` is what the distribution declares that it needs, so that an error can give the right pip line.
    """

    distribution: str = ""
    version: str = ""
    source: str = ""
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovered:
    """A plugin that was looked for: either the loaded `plugin` object or the `error` that says why there is none."""

    name: str
    origin: Origin
    plugin: object | None = None
    error: PluginError | None = None


def discover(only: Iterable[str] | None = None) -> Iterator[Discovered]:
    """Every installed plugin in order of names, or those named by `only` (none when it is empty)."""
    installed: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=PROJECT):
        installed.setdefault(entry_point.name, []).append(entry_point)
    for name in sorted(installed if only is None else set(only)):
        found = installed.get(name, [])
        if len(found) == 1:
            yield _loaded(found[0])
        elif found:
            error: PluginError = DuplicateName("plugin", name, sorted(map(_owner, found)))
            yield Discovered(name, Origin(), error=error)
        else:
            known = ", ".join(sorted(installed)) or "none"
            error = PluginLoadError(
                name,
                "DPGEN_PLUGINS asks for it, but no installed package provides it",
                f"Install it, or take its name out; there is: {known}.",
            )
            yield Discovered(name, Origin(), error=error)


def _loaded(entry_point: EntryPoint) -> Discovered:
    name, origin = entry_point.name, _origin(entry_point)
    try:
        plugin = entry_point.load()
    except Exception as error:
        doing = f"importing {entry_point.value}"
        refused = load_error(name, doing, error, distribution=origin.distribution, requires=origin.requires)
        return Discovered(name, origin, error=refused)
    return Discovered(name, replace(origin, source=getattr(plugin, "__file__", None) or entry_point.value), plugin)


def _origin(entry_point: EntryPoint) -> Origin:
    dist = entry_point.dist
    if dist is None:
        return Origin(source=entry_point.value)
    return Origin(dist.name, dist.version, entry_point.value, tuple(dist.requires or ()))


def _owner(entry_point: EntryPoint) -> str:
    return f"package {entry_point.dist.name if entry_point.dist else entry_point.value!r}"
