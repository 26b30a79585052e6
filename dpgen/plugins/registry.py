"""The one place where names become classes: every plugin's generators, mechanisms, accountants, metrics, data sets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

from dpgen.errors import DuplicateName, PluginError, PluginLoadError, UnknownName
from dpgen.plugins.contracts import duplicate_name
from dpgen.plugins.discovery import Origin, discover
from dpgen.plugins.failures import load_error
from dpgen.plugins.hooks import PluginHooks
from dpgen.plugins.kinds import ACCOUNTANT, DATASET, FEATURE_EXTRACTOR, GENERATOR, KINDS, MECHANISM, METRIC, Kind
from dpgen.plugins.registrations import Registration, ask
from dpgen.plugins.status import OK, PluginStatus
from dpgen.plugins.tracking import Trackers

if TYPE_CHECKING:
    from dpgen.accountants.base import Accountant
    from dpgen.data.info import DatasetInfo
    from dpgen.data.sources.base import ImageSource
    from dpgen.evaluation.base import Metric
    from dpgen.evaluation.extractor import FeatureExtractor
    from dpgen.generators.base import Generator
    from dpgen.mechanisms.base import Mechanism
    from dpgen.record import RunRecord

T = TypeVar("T")


@final
class Registry:
    """Names and the classes behind them. An empty registry knows none; `Registry.installed()` loads the plugins.

    A kind is asked of the plugins only when it is needed: `accountant("rdp")` imports no deep-learning library. A
    plugin with a wrong hook stays out altogether; a hook that raises, or returns one class that breaks the contract,
    brings none of its classes. No plugin can take another one down, and no answer depends on the order of questions.
    """

    def __init__(self) -> None:
        self._hooks = PluginHooks()
        self._origins: dict[str, Origin] = {}
        self._broken: dict[str, PluginError] = {}  # plugins that did not get in, none of their hooks is kept
        self._registrations: dict[tuple[str, Kind[Any]], Registration] = {}
        self._only: tuple[str, ...] | None = None

    @classmethod
    def installed(cls, only: Iterable[str] | None = None) -> Registry:
        """The registry of all installed plugins, or of those named by `only`. A broken one is kept as its error."""
        registry = cls()
        registry._only = None if only is None else tuple(only)
        for found in discover(registry._only):
            registry._origins[found.name] = found.origin
            try:
                if found.error is not None:
                    raise found.error
                registry.register(found.plugin, name=found.name, origin=found.origin)
            except PluginError as error:
                registry._broken[found.name] = error
        return registry

    def register(self, plugin: object, *, name: str, origin: Origin | None = None) -> None:
        """Add `plugin`, a module or object whose functions are marked by `hookimpl`, under the plugin name `name`.

        Raises: `PluginLoadError` for a hook that is misspelt, unmarked or wrongly declared, or a name in use; nothing
        of the plugin stays behind. Its classes are checked when their kind is first asked for.
        """
        self._hooks.add(name, plugin)
        self._broken.pop(name, None)
        self._origins[name] = origin or Origin(source=str(getattr(plugin, "__file__", None) or plugin))

    def generator(self, name: str) -> type[Generator]:
        """The generator class of this name.

        Raises, as the five methods below: `UnknownName`, which names every broken plugin; `DuplicateName`; or the
        `PluginLoadError` or `PluginVersionError` of the plugin that would have brought the name.
        """
        return self._class(GENERATOR, name)

    def mechanism(self, name: str) -> type[Mechanism[Any]]:
        """The mechanism class of this name."""
        return self._class(MECHANISM, name)

    def accountant(self, name: str) -> type[Accountant]:
        """The accountant class of this name."""
        return self._class(ACCOUNTANT, name)

    def metric(self, name: str) -> type[Metric]:
        """The metric class of this name."""
        return self._class(METRIC, name)

    def feature_extractor(self, name: str) -> type[FeatureExtractor]:
        """The feature extractor class of this name."""
        return self._class(FEATURE_EXTRACTOR, name)

    def dataset(self, name: str) -> type[ImageSource]:
        """The image source class of this name."""
        return self._class(DATASET, name)

    def generators(self) -> tuple[str, ...]:
        """The names that `generator` answers, sorted; the same for the five methods below."""
        return self._names(GENERATOR)

    def mechanisms(self) -> tuple[str, ...]:
        """The names that `mechanism` answers."""
        return self._names(MECHANISM)

    def accountants(self) -> tuple[str, ...]:
        """The names that `accountant` answers."""
        return self._names(ACCOUNTANT)

    def metrics(self) -> tuple[str, ...]:
        """The names that `metric` answers."""
        return self._names(METRIC)

    def feature_extractors(self) -> tuple[str, ...]:
        """The names that `feature_extractor` answers."""
        return self._names(FEATURE_EXTRACTOR)

    def datasets(self) -> tuple[str, ...]:
        """The names that `dataset` answers."""
        return self._names(DATASET)

    def conformance_examples(self, info: DatasetInfo) -> tuple[object, ...]:
        """Small objects made for data like `info`, of the classes that the plugins bring; what the test kit looks at.

        Raises: `PluginLoadError` for a plugin that raises, or returns something else than a list or tuple.
        """
        found: list[object] = []
        for plugin in self._hooks.names():
            hook = "dpgen_conformance_examples"
            try:
                answers = self._hooks.call(plugin, hook, info=info)
            except Exception as error:
                raise load_error(plugin, hook, error) from error
            for answer in answers:
                if not isinstance(answer, list | tuple):
                    reason = f"{hook} must return a list of objects; found a {type(answer).__name__}"
                    raise PluginLoadError(plugin, reason, "Write `return [YourClass(...)]` in it.")
                found.extend(answer)
        return tuple(found)

    def run_finished(self, record: RunRecord) -> None:
        """Tell every plugin that observes runs. One that raises is named in a warning: the record is already safe."""
        failures = []
        for plugin in self._hooks.names():
            try:
                self._hooks.call(plugin, "dpgen_run_finished", record=record)
            except Exception as error:
                failures.append(str(load_error(plugin, "dpgen_run_finished", error)))
        if failures:
            warnings.warn("the run is complete, but " + "; ".join(failures), RuntimeWarning, stacklevel=2)

    def trackers(self) -> Trackers:
        """The plugins that follow a run from now on, for one run: one that failed in it may follow the next."""
        return Trackers(self._hooks)

    def status(self) -> tuple[PluginStatus, ...]:
        """Every plugin that was looked for, in order of names. Asks for all kinds, so it imports what they need."""
        return tuple(self._status(plugin) for plugin in sorted(self._origins))

    def _status(self, plugin: str) -> PluginStatus:
        origin = self._origins[plugin]
        brought = {kind: self._registration(plugin, kind) for kind in KINDS}
        errors = [self._broken.get(plugin), *(registration.error for registration in brought.values())]
        errors += [self._clash(kind, name) for kind, registration in brought.items() for name in registration.classes]
        return PluginStatus(
            name=plugin,
            distribution=origin.distribution,
            version=origin.version,
            source=origin.source,
            hooks=self._hooks.implemented(plugin),
            registered={kind.plural: tuple(sorted(found.classes)) for kind, found in brought.items() if found.classes},
            state=" ".join(str(error) for error in errors if error is not None) or OK,
        )

    def _class(self, kind: Kind[T], name: str) -> type[T]:
        owners = self._owners(kind)
        if name in owners:
            clash = self._clash(kind, name)
            if clash is not None:
                raise clash
            return cast("type[T]", owners[name][0][1])
        broken = self._broken_of(kind)
        for plugin, error in broken.items():
            if name == plugin or name in self._registration(plugin, kind).lost:
                raise error.with_traceback(None)
        hints = [f"It may be missing because {error}" for error in broken.values()]
        if self._only is not None:
            hints.append(f"DPGEN_PLUGINS loads only: {', '.join(self._only) or 'none'}.")
        raise UnknownName(kind.name, name, self._names(kind), " ".join(hints))

    def _names(self, kind: Kind[Any]) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._owners(kind) if self._clash(kind, name) is None))

    def _owners(self, kind: Kind[Any]) -> dict[str, list[tuple[str, type]]]:
        """Who registered each name: (plugin, class), more than one where plugins clash."""
        owners: dict[str, list[tuple[str, type]]] = {}
        for plugin in self._hooks.names():
            for name, cls in self._registration(plugin, kind).classes.items():
                owners.setdefault(name, []).append((plugin, cls))
        return owners

    def _clash(self, kind: Kind[Any], name: str) -> DuplicateName | None:
        owners = self._owners(kind)[name]
        return duplicate_name(kind, name, owners) if len(owners) > 1 else None

    def _broken_of(self, kind: Kind[Any]) -> dict[str, PluginError]:
        """The plugins whose classes of this kind may be missing, with the reason."""
        asked = {plugin: self._registration(plugin, kind).error for plugin in self._hooks.names()}
        return self._broken | {plugin: error for plugin, error in asked.items() if error is not None}

    def _registration(self, plugin: str, kind: Kind[Any]) -> Registration:
        """What the plugin brought of this kind; it is asked once."""
        if (plugin, kind) not in self._registrations:
            self._registrations[plugin, kind] = ask(self._hooks, plugin, kind, self._origins[plugin])
        return self._registrations[plugin, kind]


@cache
def default_registry() -> Registry:
    """The registry of the installed plugins, loaded once per process.

    The environment variable `DPGEN_PLUGINS=a,b` limits loading to these entry points; set but empty, it loads none.
    """
    wanted = os.environ.get("DPGEN_PLUGINS")
    return Registry.installed(None if wanted is None else [name.strip() for name in wanted.split(",") if name.strip()])
