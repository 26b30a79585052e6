"""Check everything that a plugin package registers: what `dpgen check` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from dpgen.config import Config, validated
from dpgen.errors import PluginError, PluginLoadError
from dpgen.plugins.discovery import discover
from dpgen.plugins.hookspecs import PROJECT
from dpgen.plugins.registry import Registry
from dpgen.testing.conformance.assurance import Level, least, level_of
from dpgen.testing.conformance.data import TOY_INFO
from dpgen.testing.conformance.running import Finding, Outcome, examine
from dpgen.testing.conformance.selection import KINDS

EXAMPLE_RULE = "check_has_an_example"


@dataclass(frozen=True, slots=True)
class ClassReport:
    """One class: its findings over all of its examples, how long they took, and the level it reaches."""

    kind: str
    name: str
    findings: tuple[Finding, ...]
    level: Level
    seconds: float

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The checks that did not pass, but for those that could not judge because of another one."""
        return tuple(finding for finding in self.findings if finding.outcome is Outcome.FAILED)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "level": str(self.level),
            "seconds": round(self.seconds, 2),
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class PackageReport:
    """A plugin and all of its classes. Its level is the lowest of theirs."""

    package: str
    classes: tuple[ClassReport, ...]

    @property
    def level(self) -> Level:
        """What the package as a whole reaches."""
        return least(report.level for report in self.classes)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        classes = [report.to_json() for report in self.classes]
        return {"package": self.package, "level": str(self.level), "classes": classes}

    def require(self) -> None:
        """Raises: `PluginError` naming the classes with a failing check, or that there is no class to check."""
        if not self.classes:
            raise PluginError(f"expected classes to check in {self.package!r}; found none. Register some by its hooks.")
        failing = [
            f"{report.name} ({len(report.failures)})" for report in self.classes if report.level is Level.UNCHECKED
        ]
        if failing:
            raise PluginError(
                f"every check of {self.package!r} must pass; found failures of {', '.join(failing)}. "
                "Each line above says the rule and the mend."
            )


def check_package(package: str, *, config: Config | None = None) -> PackageReport:
    """Check every generator, mechanism, accountant and metric that `package` registers.

    Each class is checked on its objects among those of the hook `dpgen_conformance_examples`, else on one made without
    arguments. The settings of `config`, where its method is a generator of the package, stand for that one's examples.

    Args: `package` is the name of an installed plugin (`dpgen plugins`) or a module to import, such as `dpgen_blur`.
    Raises: `PluginError` when it cannot be loaded or a hook of it is broken.
    """
    registry = _registry(package)
    examples = registry.conformance_examples(TOY_INFO)
    reports = []
    for kind, name, cls in _classes(registry):
        mine: list[object] = [example for example in examples if type(example) is cls]
        if config is not None and kind == "generator" and config.method.name == name:
            settings = validated(cls.Config, config.method.settings, name="the configuration", under=("method",))
            mine = [cls(settings)]
        reports.append(_report(kind, name, cls, mine))
    return PackageReport(package, tuple(reports))


def _registry(package: str) -> Registry:
    """A registry of this one plugin; each of its hooks has answered well."""
    registry = Registry()
    if any(entry_point.name == package for entry_point in entry_points(group=PROJECT)):
        (found,) = discover([package])
        if found.error is not None:
            raise found.error
        registry.register(found.plugin, name=package, origin=found.origin)
    else:
        try:
            module = import_module(package)
        except ImportError as error:
            mend = "Give the name of a plugin as in `dpgen plugins`, or of a module that Python can import here."
            raise PluginLoadError(package, f"{type(error).__name__}: {error}", mend) from error
        registry.register(module, name=package)
    (status,) = registry.status()
    if not status.ok:
        raise PluginError(status.state)
    return registry


def _classes(registry: Registry) -> Iterator[tuple[str, str, Any]]:
    for kind in KINDS:
        names: tuple[str, ...] = getattr(registry, f"{kind}s")()
        yield from ((kind, name, getattr(registry, kind)(name)) for name in names)


def _report(kind: str, name: str, cls: Any, examples: list[object]) -> ClassReport:
    start = time.perf_counter()
    findings = [_no_example(cls)] if not examples and not _makes_itself(cls) else []
    for example in examples or ([] if findings else [cls()]):
        findings += examine(example)
    return ClassReport(kind, name, tuple(findings), level_of(cls, findings), time.perf_counter() - start)


def _makes_itself(cls: Any) -> bool:
    try:
        cls()
    except TypeError:
        return False
    return True


def _no_example(cls: type) -> Finding:
    return Finding(
        EXAMPLE_RULE,
        Outcome.FAILED,
        f"a class with arguments needs an example; found none of {cls.__name__}. Return a small one, made for the "
        "declared facts `info`, from the hook `dpgen_conformance_examples(info)`.",
    )
