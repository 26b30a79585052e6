"""What a plan may depend on: public facts, the budget and the accountant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from dpgen.budget import ADD_OR_REMOVE_ONE, Budget, Plan
from dpgen.errors import DpgenError
from dpgen.testing.conformance.check import Check, where
from dpgen.testing.conformance.data import ORDINARY, only
from dpgen.testing.conformance.failure import CheckFailed, require
from dpgen.testing.conformance.trials import GeneratorTrial

RANKS: Final = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}


def check_plan_meets_the_budget(trial: GeneratorTrial) -> None:
    """The price of the plan is within the budget, whichever budget it is."""
    accountant = trial.accountant()
    for epsilon in (1.0, 8.0):
        budget = Budget(epsilon, 1e-3, ADD_OR_REMOVE_ONE)
        plan = trial.fresh().plan(trial.task(), budget, accountant)
        price = accountant.epsilon(plan.event, delta=budget.delta, relation=budget.relation).upper
        require(
            price <= budget.epsilon,
            f"a plan must cost at most its budget, epsilon={epsilon}",
            found=f"a price of {price:.6g}",
            mend="Solve for the noise by `calibrate` or `split_budget`.",
        )


def check_plan_depends_on_public_facts_alone(trial: GeneratorTrial) -> None:
    """A fit changes no later plan: neither that of the same object nor that of a new one."""
    before = _planned(trial)
    for records in (None, ORDINARY):
        seen = trial.recorded if records is None else trial.observe(only(records))
        plans = [_planned(trial)]
        if seen.value is not None:
            plans.append(seen.value.plan(trial.task(), trial.budget(ADD_OR_REMOVE_ONE), trial.accountant()))
        require(
            all(plan == before for plan in plans),
            "a plan must follow from task, budget and accountant alone",
            found="another plan after a fit",
            mend="Keep nothing of a fit in the class or the module, and plan from `task.info`.",
        )


def check_plan_ignores_compute_settings(trial: GeneratorTrial) -> None:
    """Neither the number of threads nor that of processes reaches the plan."""
    with _other_computer():
        plan = _planned(trial)
    require(
        plan == _planned(trial),
        "a plan must be the same on every computer",
        found="another plan with other threads and ranks",
        mend="Take rates and steps from the settings and `task.info.nominal_records`.",
    )


@where(lambda tags: tags.needs_public)
def check_says_when_public_data_is_missing(trial: GeneratorTrial) -> None:
    """Without a public set the plan is refused, by an error that says so."""
    rule = "a generator with the tag needs_public must refuse to plan without a public set"
    mend = "Raise `InvalidValue` in `plan` when `task.public_info` is None."
    try:
        trial.fresh().plan(trial.task(public=False), trial.budget(ADD_OR_REMOVE_ONE), trial.accountant())
    except DpgenError:
        return
    except Exception as error:
        raise CheckFailed(rule, found=f"{type(error).__name__}", mend=mend) from error
    raise CheckFailed(rule, found="a plan", mend=mend)


def _planned(trial: GeneratorTrial) -> Plan:
    return trial.fresh().plan(trial.task(), trial.budget(ADD_OR_REMOVE_ONE), trial.accountant())


@contextmanager
def _other_computer() -> Iterator[None]:
    threads, before = torch.get_num_threads(), {name: os.environ.get(name) for name in RANKS}
    torch.set_num_threads(threads + 1)
    os.environ.update(RANKS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


PLAN_CHECKS: Final[tuple[Check[GeneratorTrial], ...]] = (
    check_plan_meets_the_budget,
    check_plan_depends_on_public_facts_alone,
    check_plan_ignores_compute_settings,
    check_says_when_public_data_is_missing,
)
