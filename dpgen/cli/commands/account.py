"""`dpgen account`: the price of one event, given as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from dpgen.budget import NeighboringRelation
from dpgen.cli.commands.options import Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dpgen.accountants.base import Accountant, Bound
    from dpgen.events import DpEvent


def account(
    event: Annotated[str, typer.Argument(help="File with an event as JSON, or - for standard input.", metavar="EVENT")],
    delta: Annotated[Optional[float], typer.Option(help="Ask for the epsilon at this delta.")] = None,  # noqa: UP045
    epsilon: Annotated[Optional[float], typer.Option(help="Ask for the delta at this epsilon.")] = None,  # noqa: UP045
    accountant: Annotated[str, typer.Option(help="Name of the accountant.")] = "pld",
    relation: Annotated[
        NeighboringRelation, typer.Option(help="Which two data sets must be hard to tell apart.")
    ] = NeighboringRelation.ADD_OR_REMOVE_ONE,
    compare: Annotated[bool, typer.Option("--compare", help="Ask all accountants, and say why they differ.")] = False,
    false_positive_rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Add the attack risk, at this false-positive rate of the attack."),
    ] = None,
    prior: Annotated[float, typer.Option(help="Share of the candidates who are in, for the attack risk.")] = 0.5,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw the privacy, trade-off and attack curves into this SVG file.", metavar="FILE.svg"),
    ] = None,
    json: Json = False,
) -> None:
    """Price an event: the epsilon at a delta, the delta at an epsilon, or both."""
    from dpgen.cli.output import Output
    from dpgen.errors import ConfigError
    from dpgen.plugins.registry import default_registry

    if delta is None and epsilon is None:
        raise ConfigError("expected --delta or --epsilon, or both; found neither. Give what is fixed.")
    if plot is not None and plot.suffix.lower() != ".svg":
        raise ConfigError(f"expected --plot with a name that ends in .svg; found {plot.name!r}. Pictures are SVG.")
    question = _Question(default_registry().accountant(accountant)(), read_event(event), relation)
    data, shown = question.price(delta, epsilon)
    if compare:
        shown += question.compare(data, delta, epsilon)
    if false_positive_rate is not None or plot is not None:
        shown += question.curves(data, false_positive_rate, prior, plot)
    Output(json=json).result(data, *shown)


@dataclass(frozen=True)
class _Question:
    """What is asked of whom. Each method adds its answer to the JSON `data` and returns how it looks."""

    accountant: Accountant
    event: DpEvent
    relation: NeighboringRelation

    def price(self, delta: float | None, epsilon: float | None) -> tuple[dict[str, Any], list[RenderableType]]:
        from dpgen.cli.account_tables import price_table

        answers = []
        if delta is not None:
            bound = self.accountant.epsilon(self.event, delta=delta, relation=self.relation)
            answers.append(self._facts("epsilon", {"delta": delta}, bound))
        if epsilon is not None:
            bound = self.accountant.delta(self.event, epsilon=epsilon, relation=self.relation)
            answers.append(self._facts("delta", {"epsilon": epsilon}, bound))
        shown = [price_table(answer, self.event) for answer in answers]
        second = {"delta_at_epsilon": answers[1]} if len(answers) == 2 else {}
        return answers[0] | second, shown

    def _facts(self, asked: str, fixed: dict[str, float], bound: Bound) -> dict[str, Any]:
        ends = {"lower": bound.lower, "estimate": bound.estimate, "upper": bound.upper}
        named = {"kind": bound.kind, "accountant": self.accountant.name, "relation": str(self.relation)}
        return {"asked": asked, **ends, **fixed, **named, "event": self.event.to_json()}

    def compare(self, data: dict[str, Any], delta: float | None, epsilon: float | None) -> list[RenderableType]:
        from dpgen.accountants.compare import compare
        from dpgen.cli.account_tables import comparison_table
        from dpgen.plugins.registry import default_registry

        registry = default_registry()
        accountants = [registry.accountant(name)() for name in registry.accountants()]
        answers = {}
        if delta is not None:
            answers["epsilon"] = compare(accountants, self.event, relation=self.relation, delta=delta)
        if epsilon is not None:
            answers["delta"] = compare(accountants, self.event, relation=self.relation, epsilon=epsilon)
        data["comparison"] = {asked: [answer.to_json() for answer in found] for asked, found in answers.items()}
        return [comparison_table(asked, found) for asked, found in answers.items()]

    def curves(
        self, data: dict[str, Any], false_positive_rate: float | None, prior: float, plot: Path | None
    ) -> list[RenderableType]:
        from dpgen.accountants.tradeoff.attack_risk import AttackRisk
        from dpgen.accountants.tradeoff.curve import tradeoff_curve
        from dpgen.accountants.tradeoff.pictures import three_panels
        from dpgen.accountants.tradeoff.privacy_curve import privacy_curve
        from dpgen.cli.account_tables import risk_table
        from dpgen.storage.files import write_atomically

        privacy = None if plot is None else privacy_curve(self.accountant, self.event, relation=self.relation)
        curve = tradeoff_curve(self.accountant, self.event, relation=self.relation, known=privacy)
        shown: list[RenderableType] = []
        if false_positive_rate is not None:
            risk = AttackRisk(curve).to_json(false_positive_rate=false_positive_rate, prior=prior)
            data["attack_risk"] = risk
            shown.append(risk_table(risk))
        if plot is not None and privacy is not None:
            write_atomically(plot, three_panels(privacy, curve).encode())
            data["plot"] = str(plot)
            shown.append(f"drawn: {plot}")
        return shown


def read_event(name: str) -> DpEvent:
    """The event in a JSON file, or on standard input for "-".

    Raises: `ConfigError` for what is no JSON; `InvalidValue` for what is no event.
    """
    import sys

    from dpgen.errors import ConfigError
    from dpgen.events import DpEvent
    from dpgen.storage import parse_json

    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        data = parse_json(text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected an event as JSON in {name!r}; found none ({type(error).__name__}). For example "
            '{"type": "Gaussian", "noise_multiplier": 1.0}.'
        ) from error
    return DpEvent.from_json(data)
