"""Which checks an object gets: those of its kind, chosen by its tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpgen.accountants.base import Accountant
from dpgen.errors import InvalidValue
from dpgen.evaluation.base import Metric
from dpgen.generators.base import Generator, Tags
from dpgen.mechanisms.base import Mechanism
from dpgen.testing.conformance.accountant_checks import ACCOUNTANT_CHECKS
from dpgen.testing.conformance.accountant_trial import AccountantTrial
from dpgen.testing.conformance.check import Check, concerns
from dpgen.testing.conformance.generator_checks import GENERATOR_CHECKS
from dpgen.testing.conformance.mechanism_checks import MECHANISM_CHECKS
from dpgen.testing.conformance.metric_checks import METRIC_CHECKS, MetricTrial
from dpgen.testing.conformance.trials import GeneratorTrial, MechanismTrial

KINDS: Mapping[str, tuple[type, type[Any], Sequence[Check[Any]]]] = {
    "generator": (Generator, GeneratorTrial, GENERATOR_CHECKS),
    "mechanism": (Mechanism, MechanismTrial, MECHANISM_CHECKS),
    "accountant": (Accountant, AccountantTrial, ACCOUNTANT_CHECKS),
    "metric": (Metric, MetricTrial, METRIC_CHECKS),
}
"""For each kind its contract, what its checks are given, and all of its checks."""


def kind_of(subject: object) -> str:
    """The kind of `subject`.

    Raises: `InvalidValue` for a class instead of an object made from it, and for what is none of the four kinds.
    """
    for kind, (contract, _, _) in KINDS.items():
        if isinstance(subject, contract):
            return kind
    what = f"the class {subject.__name__}" if isinstance(subject, type) else f"an object of {type(subject).__name__}"
    raise InvalidValue(f"the kit checks generators, mechanisms, accountants and metrics; found {what}. Give an object.")


def trial_of(subject: object) -> Any:
    """What the checks of `subject` are given; it keeps the runs that several of them look at."""
    return KINDS[kind_of(subject)][1](subject)


def checks_for(subject: object) -> tuple[Check[Any], ...]:
    """The checks of `subject`, chosen by its kind and tags, in the order in which they are best read."""
    tags = subject.tags if isinstance(subject, Generator) else Tags()
    return tuple(check for check in KINDS[kind_of(subject)][2] if concerns(check, tags))
