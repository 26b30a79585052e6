"""Whom to thank: the references of what a run used, or of registered names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dpgen import __version__
from dpgen.errors import UnknownName
from dpgen.events import Composed, DiscreteGaussian, DpEvent, PoissonSampled, SampledWithoutReplacement, SelfComposed
from dpgen.plugins.bibtex import keyed
from dpgen.plugins.registry import Registry
from dpgen.record import RunRecord

Claim = tuple[str, str]
"""What something was used for, and the line of its reference."""

DPGEN = f"dpgen: dpgen {__version__}, differentially private synthetic images. Python package 2026"

STANDARD_METRICS = ("accuracy", "frechet_distance", "precision_recall")
"""The metrics that score a run, by name: the default of `Protocol`, which loads a deep-learning library."""

_EVENTS: dict[type[DpEvent], tuple[str, str]] = {
    DiscreteGaussian: ("exact discrete noise", "noisy_histogram"),
    PoissonSampled: ("DP-SGD", "dp_sgd"),
}
"""What a charge of this event did, and the registered mechanism that states whose idea it was."""


@dataclass(frozen=True, slots=True)
class Citation:
    """One reference, what it stands for, and its BibTeX entry."""

    used_for: tuple[str, ...]
    text: str
    key: str
    bibtex: str

    def to_json(self) -> dict[str, object]:
        """The citation as plain JSON data; keys are the field names."""
        return {"used_for": list(self.used_for), "text": self.text, "key": self.key, "bibtex": self.bibtex}


def claims_of_run(record: RunRecord, registry: Registry) -> Iterator[Claim]:
    """What the run of `record` used: its method, the kinds of its charges, its accountant, the metrics of its scores.

    The method's references are those in the record, so that they are found where its plugin is not installed.
    """
    yield from ((f"method {record.generator}", line) for line in record.cites)
    for kind in dict.fromkeys(kind for charge in record.charges for kind in _kinds(charge.event)):
        purpose, mechanism = _EVENTS[kind]
        yield from ((purpose, line) for line in registry.mechanism(mechanism).cites)
    yield from claims_of_name(record.guarantee.accountant, registry)
    if record.config["data"].get("test") and record.config["evaluation"]["enabled"]:
        for metric in record.config["evaluation"].get("metrics") or STANDARD_METRICS:
            yield from claims_of_name(metric, registry)


def known_names(registry: Registry) -> tuple[str, ...]:
    """The names that can be cited."""
    return (*registry.generators(), *registry.accountants(), *registry.metrics(), *registry.mechanisms())


def claims_of_name(name: str, registry: Registry) -> Iterator[Claim]:
    """The references of the generator, accountant, metric or mechanism of this name. Raises: `UnknownName`."""
    kinds: dict[str, tuple[Callable[[], tuple[str, ...]], Callable[[str], Any]]] = {
        "method": (registry.generators, registry.generator),
        "accountant": (registry.accountants, registry.accountant),
        "metric": (registry.metrics, registry.metric),
        "mechanism": (registry.mechanisms, registry.mechanism),
    }
    found = [(kind, get(name)) for kind, (known, get) in kinds.items() if name in known()]
    if not found:
        raise UnknownName("run or registered name", name, known_names(registry), hint="Or give the folder of a run.")
    for kind, owner in found:
        yield from ((f"{kind} {name}", line) for line in owner.cites)


def citations(claims: Iterable[Claim]) -> tuple[Citation, ...]:
    """One citation for each reference, with all that it is claimed for; dpgen itself comes last."""
    purposes: dict[str, dict[str, None]] = {}
    for purpose, line in (*claims, ("software", DPGEN)):
        purposes.setdefault(line, {})[purpose] = None
    return tuple(
        Citation(tuple(purposes[reference.line]), reference.line, key, reference.bibtex(key))
        for key, reference in keyed(purposes)
    )


def _kinds(event: DpEvent) -> Iterator[type[DpEvent]]:
    """The event types in a tree that somebody is to be thanked for."""
    if type(event) in _EVENTS:
        yield type(event)
    match event:
        case Composed(events=events):
            for part in events:
                yield from _kinds(part)
        case SelfComposed(event=inner) | PoissonSampled(event=inner) | SampledWithoutReplacement(event=inner):
            yield from _kinds(inner)
