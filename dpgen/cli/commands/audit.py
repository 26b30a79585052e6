"""`dpgen audit`: what a plan claims, attacked on made-up records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgen.cli.commands.options import Json, Overrides, Quiet

if TYPE_CHECKING:
    from dpgen.accountants.base import Accountant
    from dpgen.budget import Budget, Plan


def audit(
    target: Annotated[Path, typer.Argument(help="A run folder, a run.json, or a TOML configuration.")],
    overrides: Overrides = None,
    rung: Annotated[
        int,
        typer.Option(
            min=0, max=4, help="How high to climb: 0 replay, 1 laws, 2 single steps, 3 one training, 4 many trainings."
        ),
    ] = 2,
    time_limit: Annotated[float, typer.Option(help="Seconds for all of it; what does not fit is skipped.")] = 120.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Attack the mechanisms of a run, or of a configuration, on made-up records; nothing private is opened.

    Prints a statistical lower bound on epsilon beside the proved upper one. Exit code 1 when it lies above, or when a
    broken twin that every attack is tried on was not caught.
    """
    from dpgen.cli.audit_tables import audit_table
    from dpgen.cli.output import Output
    from dpgen.testing.audit import audit_plan

    output = Output(json=json, quiet=quiet)
    plan, budget, accountant, verified = _claimed(target, overrides or [])
    found = audit_plan(plan, budget, accountant, rung=rung, seconds=time_limit, say=output.note)
    output.result(verified | found.to_json(), audit_table(found))
    found.require()


def _claimed(target: Path, overrides: list[str]) -> tuple[Plan, Budget, Accountant, dict[str, Any]]:
    """(plan, budget, accountant, facts): of a record that bears out its guarantee, or of a configuration.

    Raises: `PrivacyError` for a record that does not; `ConfigError`; `StorageError`.
    """
    from dpgen.budget import Budget
    from dpgen.errors import ConfigError
    from dpgen.plugins.registry import default_registry

    registry = default_registry()
    if target.suffix == ".toml":
        from dpgen.config import load
        from dpgen.pipeline import prepare

        prepared = prepare(load(target, overrides), registry, data_at_hand=False)
        return prepared.plan, prepared.budget, prepared.accountant, {"configuration": str(target)}
    if overrides:
        raise ConfigError("expected --set with a configuration only; found it with a run, whose settings are made.")
    from dpgen.verification import verify

    verified = verify(target, registry=registry)
    verified.require()
    record, guarantee = verified.record, verified.record.guarantee
    budget = Budget(record.budget.epsilon, guarantee.delta, guarantee.relation)
    facts = {"run": record.name, "sha256": verified.digest, "claimed": guarantee.to_json()}
    return record.plan, budget, registry.accountant(guarantee.accountant)(), facts
