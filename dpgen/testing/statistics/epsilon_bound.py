"""A statistical lower bound on epsilon beside the epsilon that was claimed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonBound:
    """With probability at least 1 - `level` over the audited runs, the audited thing is not (epsilon, delta)-DP for any
    epsilon below `lower`, provided that the hypothesis `family` holds; `claimed` is the proved upper bound.

    It is evidence against a claim, or none. A small `lower` says that this attack found little, not that there is
    little to find: it is never a bound on privacy from above.
    `family` "" means that nothing was hypothesised. `noise_at_most`: within a family, all larger noise is ruled out.
    """

    attack: str
    family: str
    lower: float
    claimed: float
    delta: float
    level: float
    samples: int
    noise_at_most: float | None = None

    @property
    def refuted(self) -> bool:
        """Does the lower bound lie above the claim?"""
        return not self.lower <= self.claimed  # also for NaN

    def to_json(self) -> dict[str, Any]:
        """The bound as plain JSON data, infinities as text."""
        numbers = {"lower": self.lower, "claimed": self.claimed, "noise_at_most": self.noise_at_most}
        return {
            "attack": self.attack,
            "family": self.family,
            **{key: value if value is None or math.isfinite(value) else str(value) for key, value in numbers.items()},
            "delta": self.delta,
            "level": self.level,
            "samples": self.samples,
            "refuted": self.refuted,
        }
