"""Where the weights of an encoder or a decoder come from: without an answer no theorem holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dpgen.budget import NeighboringRelation
from dpgen.errors import InvalidValue, PrivacyError
from dpgen.events import DpEvent, NoOp


@dataclass(frozen=True, slots=True)
class Provenance:
    """Made by `public`, `differentially_private` or `trained_without_protection`.

    Lipschitz constants bound what a query of frozen weights tells of a record. They say nothing of what the weights
    themselves remember: a decoder whose bias is a training image has every constant 0 and releases that image.
    """

    kind: Literal["public", "differentially_private", "unprotected"]
    source: str
    event: DpEvent = field(default_factory=NoOp)
    relation: NeighboringRelation | None = None
    charged: bool = False

    def __post_init__(self) -> None:
        if not self.source:
            raise InvalidValue("a provenance needs the name of its source, such as 'glyphs, seed 0'; found ''.")

    @staticmethod
    def public(source: str) -> Provenance:
        """Weights, and all statistics in them, computed from data that anyone may see, or drawn from a public seed."""
        return Provenance("public", source)

    @staticmethod
    def differentially_private(
        source: str, event: DpEvent, relation: NeighboringRelation, *, charged: bool
    ) -> Provenance:
        """Every parameter in use is the output of `event` on the same records, priced under `relation`.

        One training of encoder and decoder together is one object, given for both; two objects are two trainings, and
        both are owed, however equal.

        `charged`: the ledger of this run has `event` already, as when an earlier release of the run trained them.
        Otherwise the sampling charges it too (adaptive composition).
        """
        return Provenance("differentially_private", source, event, NeighboringRelation(relation), charged)

    @staticmethod
    def trained_without_protection(source: str) -> Provenance:
        """Trained on the records that are sampled: refused by every mechanism."""
        return Provenance("unprotected", source)

    def require_protected(self, part: str) -> None:
        """Raises: `PrivacyError` where the weights of `part` saw the records unprotected."""
        if self.kind == "unprotected":
            raise PrivacyError(
                f"the weights of the {part} must be public or differentially private; found {self.source!r}, trained "
                "on the records without protection. No Lipschitz constant bounds what they remember: train on public "
                "data, or by DpSgd, every part that is used."
            )

    def owed(self, relation: NeighboringRelation) -> tuple[DpEvent, ...]:
        """What a release with these weights has to charge besides its own event.

        Raises: `PrivacyError` where the weights were priced under another relation.
        """
        if self.relation is not None and self.relation is not NeighboringRelation(relation):
            raise PrivacyError(
                f"weights and sampling must be priced under one relation; found weights under {self.relation} and "
                f"sampling under {NeighboringRelation(relation)}. Train and sample under the same one."
            )
        return () if self.charged or self.event == NoOp() else (self.event,)
