"""The class prior of a run: which share of the synthetic images each class gets, and what it costs to know."""

from __future__ import annotations

import json
from dataclasses import replace

from dpgen.accountants.base import Accountant
from dpgen.budget import Budget, Plan
from dpgen.config.tables import LabelsConfig
from dpgen.data.datasets import PrivateDataset
from dpgen.errors import ConfigError
from dpgen.events import DiscreteGaussian
from dpgen.generators.base import Generator, Task
from dpgen.generators.class_prior import LABEL, class_shares, counts_charge, release_counts
from dpgen.mechanisms.context import RunContext
from dpgen.pipeline.leading import Leading

COUNTED = "counted"
FILE = "class_counts.json"
_NOTE = "synthetic images have the classes in shares counted with noise, for a charge of its own"


def with_given_shares(task: Task, wanted: LabelsConfig, generator: Generator) -> Task:
    """The task with the shares that the configuration gives; counted ones are known later.

    Raises: `ConfigError` for another number of shares than classes, for one of 0, and for a prior of a generator that
    makes no images of a class that is asked for.
    """
    if wanted.prior == "uniform":
        return task
    if not generator.tags.conditional:
        raise ConfigError(
            f"labels.prior: {generator.name} makes no images of a class that is asked for; found a prior. Leave it out."
        )
    if isinstance(wanted.prior, str):
        return task
    if len(wanted.prior) != task.info.classes or min(wanted.prior) <= 0:
        raise ConfigError(
            f"labels.prior: expected a share > 0 for each of {task.info.classes} classes; found {len(wanted.prior)} "
            "shares or one that is 0. Give one for each class, in the order of data.classes."
        )
    return replace(task, class_shares=wanted.prior)


def counted_first(wanted: LabelsConfig, budget: Budget, accountant: Accountant) -> Leading | None:
    """What counting the classes charges; None where nothing is counted.

    Raises: `CalibrationError`, `UnsupportedEvent`.
    """
    if wanted.prior != COUNTED:
        return None
    return Leading(counts_charge(budget, accountant, share=wanted.budget_share), _NOTE)


def with_counted_shares(task: Task, plan: Plan, private: PrivateDataset, context: RunContext) -> Task:
    """The task with the shares that the noisy counts say, where the plan has them; asked for once.

    Privacy: the charge that `plan` holds under "class-counts". `class_counts.json` beside the release is DP output.
    """
    if LABEL not in plan:
        return task
    planned = plan.of_kind(LABEL, DiscreteGaussian)
    counts = context.once(LABEL, lambda: {"counts": release_counts(private, planned)})["counts"].cpu()
    shares = class_shares(counts)
    table = {
        name: {"noisy_count": int(counts[c]), "share_percent": round(100 * shares[c], 2)}
        for c, name in enumerate(task.info.class_names)
    }
    context.publish(FILE, (json.dumps({"class": table}, ensure_ascii=False, indent=2) + "\n").encode())
    return replace(task, class_shares=shares)
