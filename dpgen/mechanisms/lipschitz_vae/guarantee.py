"""What may be claimed: for each mode its kind of guarantee, what it assumes, and where it is proved."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum

from dpgen import validate
from dpgen.accountants.base import Accountant
from dpgen.accountants.gdp import gaussian_delta, gaussian_epsilon
from dpgen.budget import Guarantee, NeighboringRelation
from dpgen.errors import PrivacyError, SensitivityError
from dpgen.events import DpEvent

PROOFS = "docs/explanation/lipschitz-vae.md"
LARGEST_MEANINGFUL = 20.0


class GuaranteeKind(StrEnum):
    """What a guarantee compares. There is no kind "none": what has no guarantee is refused."""

    LOCAL = "local"
    """Each record's own release, whatever another value it had: nobody else need be trusted."""
    CENTRAL_ADD_REMOVE = "central, add or remove one"
    CENTRAL_REPLACE_ONE = "central, replace one"
    POST_PROCESSING = "post-processing of the weights"


class NoMeaningfulGuarantee(UserWarning):
    """The numbers are right and protect nobody."""


@dataclass(frozen=True, slots=True)
class StatedGuarantee:
    """`guarantee` in numbers, its `kind`, what it takes for granted, and the theorem that it rests on."""

    kind: GuaranteeKind
    guarantee: Guarantee
    assumptions: tuple[str, ...]
    proved_by: str


def stated(
    event: DpEvent,
    accountant: Accountant,
    *,
    delta: float,
    relation: NeighboringRelation,
    kind: GuaranteeKind,
    assumptions: tuple[str, ...],
    theorem: str,
    records: int | None,
) -> StatedGuarantee:
    """The price of `event`, as a statement.

    Raises: `PrivacyError` for an accountant whose answer is an approximation; `UnsupportedEvent` from the accountant.
    Warns: `NoMeaningfulGuarantee` for epsilon > 20 or delta >= 1 / records.
    """
    if accountant.kind == "approximation":
        raise PrivacyError(
            f"a guarantee must be proved; found the accountant {accountant.name!r}, an approximation. The central "
            "limit lies below the truth here. Use 'pld' or 'rdp'."
        )
    epsilon = accountant.epsilon(event, delta=delta, relation=relation).upper
    caveats = tuple(
        text
        for text, applies in (
            (f"epsilon > {LARGEST_MEANINGFUL:g}", epsilon > LARGEST_MEANINGFUL),
            (f"delta >= 1 / {records}", records is not None and delta >= 1 / records),
        )
        if applies
    )
    if caveats:
        warnings.warn(f"no meaningful guarantee: {' and '.join(caveats)}", NoMeaningfulGuarantee, stacklevel=3)
    numbers = Guarantee(epsilon, delta, NeighboringRelation(relation), accountant.name, accountant.kind, caveats)
    return StatedGuarantee(kind, numbers, assumptions, f"{PROOFS}, {theorem}")


@dataclass(frozen=True, slots=True)
class MetricGuarantee:
    """Graded by distance: two records at L2 distance d are (epsilon, delta) close with theta = slope d + floor.

    `slope` is L / sigma with a certified L, `floor` covers the rounding of encoder and clip. Both hold for images of
    `image_shape` with pixels in [0, 1] alone; the sampling refuses others. Not a guarantee of differential privacy,
    and never shown as an epsilon without its distance.
    """

    slope: float
    floor: float
    image_shape: tuple[int, ...]

    def epsilon(self, *, delta: float, distance: float) -> float:
        """For two records at most `distance` apart."""
        validate.open_unit(delta=delta)
        return gaussian_epsilon(self._separation(distance), delta).upper

    def delta(self, *, epsilon: float, distance: float) -> float:
        """For two records at most `distance` apart."""
        validate.not_negative(epsilon=epsilon)
        return gaussian_delta(self._separation(distance), epsilon).upper

    def _separation(self, distance: float) -> float:
        if not (isinstance(distance, (int, float)) and math.isfinite(distance) and distance >= 0):
            raise SensitivityError(
                f"a metric guarantee needs a finite distance; found {distance!r}. On an unbounded space it implies no "
                "differential privacy: clip the codes."
            )
        return self.slope * distance + self.floor
