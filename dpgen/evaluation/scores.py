"""The scores of one evaluation, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpgen.errors import UnknownName
from dpgen.evaluation.base import NOT_RELEASED, Score


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Everything that one `Protocol.evaluate` found.

    It read private records, so as a whole it belongs in `internal/`. `selection` says how the classifier was chosen,
    `images` how many images of each class the scores rest on.
    """

    scores: tuple[Score, ...]
    selection: Mapping[str, Any]
    images: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Score:
        """The score of this name. Raises: `UnknownName`."""
        for score in self.scores:
            if score.name == name:
                return score
        raise UnknownName("score", name, (score.name for score in self.scores), hint="See `scores` for all of them.")

    def to_json(self) -> dict[str, Any]:
        """All scores as plain JSON data, under the note that they are not part of the release."""
        return {
            "note": NOT_RELEASED,
            "scores": [score.to_json() for score in self.scores],
            "selection": dict(self.selection),
            "images": dict(self.images),
        }
