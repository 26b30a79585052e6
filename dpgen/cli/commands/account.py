"""`dpgen account`: the price of one event, given as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from dpgen.budget import NeighboringRelation
from dpgen.cli.commands.options import Json

if TYPE_CHECKING:
    from dpgen.events import DpEvent


def account(
    event: Annotated[str, typer.Argument(help="File with an event as JSON, or - for standard input.", metavar="EVENT")],
    delta: Annotated[Optional[float], typer.Option(help="Ask for the epsilon at this delta.")] = None,  # noqa: UP045
    epsilon: Annotated[Optional[float], typer.Option(help="Ask for the delta at this epsilon.")] = None,  # noqa: UP045
    accountant: Annotated[str, typer.Option(help="Name of the accountant.")] = "prv",
    relation: Annotated[
        NeighboringRelation, typer.Option(help="Which two data sets must be hard to tell apart.")
    ] = NeighboringRelation.ADD_OR_REMOVE_ONE,
    json: Json = False,
) -> None:
    """Price an event: the epsilon at a delta, or the delta at an epsilon."""
    from dpgen.cli.output import Output
    from dpgen.cli.tables import facts_table
    from dpgen.errors import ConfigError
    from dpgen.plugins.registry import default_registry

    if (delta is None) == (epsilon is None):
        raise ConfigError("expected --delta or --epsilon, and not both. Give the one that is fixed.")
    priced = read_event(event)
    judge = default_registry().accountant(accountant)()
    if delta is not None:
        asked, fixed, bound = "epsilon", {"delta": delta}, judge.epsilon(priced, delta=delta, relation=relation)
    else:
        assert epsilon is not None
        asked, fixed, bound = "delta", {"epsilon": epsilon}, judge.delta(priced, epsilon=epsilon, relation=relation)
    ends = {"lower": bound.lower, "estimate": bound.estimate, "upper": bound.upper}
    facts = {"asked": asked, **ends, **fixed, "kind": bound.kind, "accountant": accountant, "relation": str(relation)}
    Output(json=json).result(facts | {"event": priced.to_json()}, facts_table(facts | {"event": str(priced)}))


def read_event(name: str) -> DpEvent:
    """The event in a JSON file, or on standard input for "-".

    Raises: `ConfigError` for what is no JSON; `InvalidValue` for what is no event.
    """
    import json
    import sys

    from dpgen.errors import ConfigError
    from dpgen.events import DpEvent

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return DpEvent.from_json(json.loads(text))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"expected an event as JSON in {name!r}; found none ({type(error).__name__}). For example "
            '{"type": "Gaussian", "noise_multiplier": 1.0}.'
        ) from error
